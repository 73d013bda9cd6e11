// espalier fetch: the pruned models of finished jobs as folders. One job becomes the output folder itself; several, or those
// of a campaign, a folder each in it. What an earlier fetch has brought of them is not fetched again.

import path from 'node:path';
import type { Command } from 'commander';
import { type ErrorCode, EspalierError, toEspalierError } from '../../shared/errors.ts';
import type { ClusterClient, Job } from '../client/cluster-client.ts';
import { addClusterOptions, addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { chosenResults, fetchJob, isFetched } from '../fetch-job.ts';
import { joinedFailure } from '../joined-failure.ts';
import { type FetchSettings, parseFetch } from '../parse-fetch.ts';
import { counted } from '../quantities.ts';
import { plainText } from '../views/plain-text.ts';
import { withCluster, writeJson } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier fetch 3f2a --out ./pruned
  espalier fetch 3f2a --out ./pruned --budget 0.5 --force
  espalier fetch --campaign 77c0 --out ./campaign
`;
/** Faults of one job; any other would come again with the next. */
const OWN_FAULTS: readonly ErrorCode[] = [
  ...(['usage', 'job_state', 'job_failed', 'job_not_found', 'blob_missing', 'blob_corrupt', 'protocol'] as const),
  ...(['output_exists', 'output_locked'] as const),
];
/** What a campaign may call its jobs: names of folders. */
const JOB_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

interface Fetched {
  readonly job: Job;
  readonly folders: readonly string[];
}

export function addFetchCommand(program: Command, context: CliContext): void {
  const command = program
    .command('fetch')
    .summary('download the pruned models of jobs')
    .description(
      'Downloads the pruned models of finished jobs. Each budget gets a folder, as with `espalier prune`; of several jobs ' +
        'or a campaign each job gets a folder for those, and what is there already is not fetched again.',
    )
    .usage('ID... --out DIR [options] | --campaign ID --out DIR [options]')
    .argument('[ID...]', 'ids of jobs, or the first 4 or more of their digits');
  addValue(command, '--campaign <id>', 'all jobs of this campaign that are done');
  addValue(command, '--out <dir>', 'folder to write');
  addValue(command, '--budget <fraction>', 'only this budget; 0.4,0.6 or repeat it (default: all of the job)');
  command.option('--force', 'replace earlier outputs that are there');
  command.option('--quiet', 'print no progress');
  addClusterOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((operands: readonly string[]) => runFetch(operands, command, context));
}

async function runFetch(operands: readonly string[], command: Command, context: CliContext): Promise<void> {
  const settings = parseFetch(operands, rawFlags(command), context.cwd, context.env);
  const action = 'nothing is left of what was not whole; run it again';
  await withCluster(
    context,
    settings.cluster,
    async (client) => {
      const [id] = settings.ids;
      if (settings.campaign === null && settings.ids.length === 1) await fetchOne(client, id, settings, context);
      else await fetchSeveral(client, settings, context);
    },
    { message: 'the fetch was interrupted', action },
  );
}

async function fetchOne(
  client: ClusterClient,
  id: string,
  settings: FetchSettings,
  context: CliContext,
): Promise<void> {
  const { force, quiet } = settings;
  const out = path.resolve(context.cwd, settings.out);
  const job = await client.get(id);
  const results = chosenResults(job, settings.budgets);
  await fetchJob(client, job, results, { out, force, quiet }, context);
  const folders = results.map(({ budget }) => path.join(settings.out, budget));
  if (settings.json) writeJson(context, { job: job.id, name: job.name, folders });
  else for (const folder of folders) context.stdout.write(`Result: ${folder}\n`);
}

async function fetchSeveral(client: ClusterClient, settings: FetchSettings, context: CliContext): Promise<void> {
  const jobs = await listed(client, settings);
  const fetched: Fetched[] = [];
  const failures: EspalierError[] = [];
  const waiting =
    settings.campaign === null ? [] : jobs.filter(({ state }) => state === 'queued' || state === 'running');
  for (const { id, name } of jobs.filter((job) => !waiting.includes(job))) {
    context.signal.throwIfAborted();
    try {
      fetched.push(await fetchInto(client, await client.get(id), settings, context));
      const { folders } = fetched[fetched.length - 1];
      if (!settings.json) for (const folder of folders) context.stdout.write(`Result: ${folder}\n`);
    } catch (caught) {
      context.signal.throwIfAborted();
      const error = toEspalierError(caught);
      if (!OWN_FAULTS.includes(error.code)) throw error;
      failures.push(
        error.message.includes(id)
          ? error
          : new EspalierError(error.code, `${name}: ${error.message}`, { action: error.action }),
      );
    }
  }
  if (fetched.length > 0) await compare(fetched, settings, context);
  if (settings.json)
    writeJson(context, {
      jobs: fetched.map(({ job, folders }) => ({ job: job.id, name: job.name, folders })),
      waiting: waiting.map(({ id, name, state }) => ({ job: id, name, state })),
    });
  else context.stdout.write(`fetched ${fetched.length} of ${counted(jobs.length, 'job')} into ${settings.out}\n`);
  if (waiting.length > 0) {
    const action = `wait with \`espalier watch --campaign ${settings.campaign}\`, then fetch again`;
    failures.push(new EspalierError('job_state', `${counted(waiting.length, 'job')} yet to end`, { action }));
  }
  if (failures.length > 0) throw joinedFailure(failures);
}

/** The page beside the jobs' folders; one that cannot be made keeps no model from its user. */
async function compare(fetched: readonly Fetched[], { out }: FetchSettings, context: CliContext): Promise<void> {
  const { writeComparison } = await import('../write-pages.ts');
  const campaigns = [...new Set(fetched.map(({ job }) => job.campaignName))];
  const name = campaigns.length === 1 && campaigns[0] !== '' ? campaigns[0] : counted(fetched.length, 'job');
  const folders = fetched.map(({ job }) => job.name);
  await writeComparison(name, path.resolve(context.cwd, out), folders).catch((caught: unknown) => {
    const error = toEspalierError(caught);
    if (error.code !== 'data_format' && error.code !== 'output_exists') throw error;
    context.stderr.write(`no page that compares them: ${error.message}\n`);
  });
}

/** The jobs that were asked for, oldest first. @throws EspalierError "usage" when two would have the same folder. */
async function listed(client: ClusterClient, { ids, campaign, out }: FetchSettings): Promise<Job[]> {
  const found: Job[] = [];
  if (campaign === null) for (const id of ids) found.push(await client.get(id));
  else found.push(...(await client.list({ campaign, states: [] })).jobs);
  const jobs = [...new Map(found.map((job) => [job.id, job])).values()];
  const odd = jobs.find(({ name }) => !JOB_NAME.test(name));
  if (odd !== undefined) throw new EspalierError('protocol', `${odd.id}: got a job name ${JSON.stringify(odd.name)}`);
  const twice = jobs.find(({ name }, at) => jobs.findIndex((other) => other.name === name) < at);
  if (twice !== undefined)
    throw new EspalierError(
      'usage',
      `got two jobs of the name ${twice.name}, which would have the same folder in ${out}`,
      {
        action: 'fetch each into a folder of its own',
      },
    );
  return jobs;
}

async function fetchInto(
  client: ClusterClient,
  job: Job,
  { out, budgets, force, quiet }: FetchSettings,
  context: CliContext,
): Promise<Fetched> {
  const results = chosenResults(job, budgets);
  const target = path.resolve(context.cwd, out, job.name);
  const folders = results.map(({ budget }) => path.join(out, job.name, budget));
  if (await isFetched(results, target)) {
    if (!quiet) context.stderr.write(`${plainText(job.name)} is there already\n`);
  } else await fetchJob(client, job, results, { out: target, force, quiet }, context);
  return { job, folders };
}
