// What `cancel`, `retry` and `delete` share: one thing done to several jobs. One that cannot be done keeps no other from it.
import type { Command } from 'commander';
import { EspalierError, toEspalierError } from '../shared/errors.ts';
import type { ClusterClient, Job } from './client/cluster-client.ts';
import { addClusterOptions, rawFlags } from './command-options.ts';
import type { CliContext } from './context.ts';
import { FlagReader } from './flag-reader.ts';
import { jobJson } from './job-json.ts';
import { readCluster, readId } from './parse-cluster.ts';
import { plainText } from './views/plain-text.ts';
import { withCluster, writeJson } from './with-cluster.ts';

export interface JobChange {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly examples: string;
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
    .usage('ID... [options]')
    .argument('[ID...]', 'ids of jobs, or the first 4 or more of their digits');
  addClusterOptions(command);
  command.addHelpText('after', job.examples);
  command.action((operands: readonly string[]) => changeJobs(job, operands, command, context));
}

async function changeJobs(
  { name, change, told }: JobChange,
  operands: readonly string[],
  command: Command,
  context: CliContext,
): Promise<void> {
  const flags = new FlagReader(rawFlags(command), context.env);
  const ids = operands.length === 0 ? [readId(flags, undefined)] : operands.map((operand) => readId(flags, operand));
  const settings = readCluster(flags);
  flags.throwProblems(name);
  const changed: Job[] = [];
  const failures: EspalierError[] = [];
  await withCluster(context, settings, async (client) => {
    for (const id of new Set(ids)) {
      try {
        const job = await change(client, id);
        changed.push(job);
        if (!flags.switched('json')) context.stdout.write(`${job.id}  ${plainText(job.name)}  ${told(job)}\n`);
      } catch (caught) {
        context.signal.throwIfAborted();
        failures.push(toEspalierError(caught));
      }
    }
  });
  if (flags.switched('json')) writeJson(context, { jobs: changed.map(jobJson) });
  const [first] = failures;
  if (first === undefined) return;
  const code = failures.every((failure) => failure.code === first.code) ? first.code : 'job_state';
  throw new EspalierError(code, failures.map(({ message }) => message).join('; '), { action: first.action });
}
