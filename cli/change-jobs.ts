// What `cancel`, `retry` and `delete` share: one thing done to several jobs, or to those of a campaign in whose state it can
// be done. One that it cannot be done to keeps no other from it.

import type { Command } from 'commander';
import { inParallel } from '../coordinator/jobs/in-parallel.ts';
import { type EspalierError, toEspalierError } from '../shared/errors.ts';
import type { ClusterClient, Job } from './client/cluster-client.ts';
import { addClusterOptions, addValue, rawFlags } from './command-options.ts';
import type { CliContext } from './context.ts';
import { FlagReader } from './flag-reader.ts';
import { jobJson } from './job-json.ts';
import { joinedFailure } from './joined-failure.ts';
import { readCluster, readTargets } from './parse-cluster.ts';
import { counted } from './quantities.ts';
import { plainText } from './views/plain-text.ts';
import { withCluster, writeJson } from './with-cluster.ts';

const AT_ONCE = 8;

export interface JobChange {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly examples: string;
  /** States in which it can be done. */
  readonly states: readonly string[];
  /** Does it. @returns the job afterwards, or as it was before it was deleted. */
  readonly change: (client: ClusterClient, id: string) => Promise<Job>;
  /** What it says of a job that it was done to. */
  readonly told: (job: Job) => string;
}

export function addJobChange(program: Command, context: CliContext, job: JobChange): void {
  const command = program
    .command(job.name)
    .summary(job.summary)
    .description(job.description)
    .usage('ID... [options] | --campaign ID [options]')
    .argument('[ID...]', 'ids of jobs, or the first 4 or more of their digits');
  addValue(command, '--campaign <id>', `all jobs of this campaign that are ${job.states.join(', ')}`);
  addClusterOptions(command);
  command.addHelpText('after', job.examples);
  command.action((operands: readonly string[]) => changeJobs(job, operands, command, context));
}

async function changeJobs(job: JobChange, operands: readonly string[], command: Command, context: CliContext) {
  const flags = new FlagReader(rawFlags(command), context.env);
  const { ids, campaign } = readTargets(flags, operands);
  const settings = readCluster(flags);
  flags.throwProblems(job.name);
  const isJson = flags.switched('json');
  const changed: Job[] = [];
  const failures: EspalierError[] = [];
  let left = 0;
  const changeOne = async (client: ClusterClient, id: string) => {
    try {
      const after = await job.change(client, id);
      changed.push(after);
      if (!isJson) context.stdout.write(`${after.id}  ${plainText(after.name)}  ${job.told(after)}\n`);
    } catch (caught) {
      context.signal.throwIfAborted();
      const error = toEspalierError(caught);
      // One of a campaign that has ended, or gone, since it was listed.
      const isOver = campaign !== null && (error.code === 'job_state' || error.code === 'job_not_found');
      if (isOver) left += 1;
      else failures.push(error);
    }
  };
  await withCluster(context, settings, async (client) => {
    if (campaign === null) {
      for (const id of ids) await changeOne(client, id);
      return;
    }
    const { jobs } = await client.list({ campaign, states: [] });
    const fitting = jobs.filter(({ state }) => job.states.includes(state));
    left = jobs.length - fitting.length;
    await inParallel(fitting, AT_ONCE, ({ id }) => changeOne(client, id));
  });
  if (isJson) writeJson(context, { jobs: changed.map(jobJson), ...(campaign !== null && { left }) });
  else if (campaign !== null)
    context.stdout.write(`${job.name}: ${counted(changed.length, 'job')}; ${left} left as they were\n`);
  if (failures.length > 0) throw joinedFailure(failures);
}
