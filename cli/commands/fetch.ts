// espalier fetch: the pruned models of a finished job as folders, like those of `espalier prune --out`. Every file is
// checked by its digest; the output appears whole, by a rename, or not at all.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { isFileName } from '../../coordinator/jobs/file-names.ts';
import { requireReplaceable } from '../../coordinator/store/own-output.ts';
import { openRunFolder, type RunFolder } from '../../coordinator/store/run-folder.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { ClusterClient, Job } from '../client/cluster-client.ts';
import { addClusterOptions, addValue, rawFlags } from '../command-options.ts';
import type { CliContext } from '../context.ts';
import { type FetchSettings, parseFetch } from '../parse-fetch.ts';
import { formatBytes } from '../quantities.ts';
import { ByteProgress } from '../views/byte-progress.ts';
import { withCluster, writeJson } from '../with-cluster.ts';

const EXAMPLES = `
Examples:
  espalier fetch 3f2a --out ./pruned
  espalier fetch 3f2a --out ./pruned --budget 0.5 --force
`;
const REPORT_FILE = 'report.json';

type Result = Job['results'][number];

export function addFetchCommand(program: Command, context: CliContext): void {
  const command = program
    .command('fetch')
    .summary('download the pruned models of a job')
    .description('Downloads the pruned models of a finished job; each budget gets a folder, as with `espalier prune`.')
    .usage('ID --out DIR [options]')
    .argument('[ID]', 'id of the job, or the first 4 or more of its digits');
  addValue(command, '--out <dir>', 'folder to write; each budget gets a folder in it');
  addValue(command, '--budget <fraction>', 'only this budget; 0.4,0.6 or repeat it (default: all of the job)');
  command.option('--force', 'replace the output folder if it is there');
  command.option('--quiet', 'print no progress');
  addClusterOptions(command);
  command.addHelpText('after', EXAMPLES);
  command.action((operand: string | undefined) => runFetch(operand, command, context));
}

async function runFetch(operand: string | undefined, command: Command, context: CliContext): Promise<void> {
  const settings = parseFetch(operand, rawFlags(command), context.cwd, context.env);
  const out = path.resolve(context.cwd, settings.out);
  await withCluster(context, settings.cluster, async (client) => {
    const job = await client.get(settings.id);
    const results = chosenResults(job, settings.budgets);
    if (settings.force) await requireReplaceable(out);
    const fingerprint = { fetched: job.id, budgets: results.map(({ budget }) => budget) };
    const folder = await openRunFolder({ out, force: settings.force, resume: false, fingerprint });
    let isWhole = false;
    try {
      await downloadAll(client, job, results, folder, settings, context);
      context.signal.throwIfAborted();
      await folder.commit();
      isWhole = true;
    } finally {
      // What was downloaded so far is of no use to any later run.
      if (!isWhole) await folder.abandon();
    }
    const written = results.map(({ budget }) => path.join(settings.out, budget));
    if (settings.json) writeJson(context, { job: job.id, name: job.name, folders: written });
    else for (const place of written) context.stdout.write(`Result: ${place}\n`);
  });
}

async function downloadAll(
  client: ClusterClient,
  job: Job,
  results: readonly Result[],
  folder: RunFolder,
  { quiet }: FetchSettings,
  { stderr, env, now, onExit }: CliContext,
): Promise<void> {
  const files = results.flatMap((result) => result.files.map((file) => ({ ...file, budget: result.budget })));
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  await folder.requireSpace(totalBytes);
  const progress = new ByteProgress({ sink: stderr, quiet, terminal: env.TERM, now, verb: 'downloaded', totalBytes });
  const close = () => progress.close();
  const forget = onExit(close);
  try {
    for (const { budget, name, digest, sizeBytes } of files) {
      const file = path.join(await folder.staging(budget), name);
      let told = 0;
      const onBytes = (bytes: number) => {
        told += bytes;
        // A download that broke begins again.
        if (told <= sizeBytes) progress.add(bytes);
      };
      await client.download(job.id, { digest, sizeBytes }, file, onBytes);
    }
    for (const { budget, files: own, reportJson } of results)
      if (!own.some(({ name }) => name === REPORT_FILE))
        await writeFile(
          path.join(await folder.staging(budget), REPORT_FILE),
          `${JSON.stringify(JSON.parse(reportJson), null, 2)}\n`,
        );
  } finally {
    close();
    forget();
  }
  if (!quiet) stderr.write(`downloaded ${files.length} files of ${formatBytes(totalBytes)}\n`);
}

/** The results to download. What a peer calls budgets and files becomes paths only when it is of the expected form.
 * @throws EspalierError "job_state", "job_failed", "usage" for a budget that the job does not have, "protocol". */
function chosenResults(job: Job, budgets: readonly string[]): Result[] {
  const at = `${job.id} (${job.name})`;
  if (job.state === 'failed') throw new EspalierError('job_failed', `${at}: got no result, the job failed`);
  if (job.state !== 'done')
    throw new EspalierError('job_state', `${at}: got state ${job.state}, expected done`, {
      action: `wait with \`espalier watch ${job.id}\``,
    });
  const known = job.results.map(({ budget }) => budget);
  const unknown = budgets.filter((budget) => !known.includes(budget));
  if (unknown.length > 0)
    throw new EspalierError('usage', `--budget: got ${unknown.join(', ')}, the job has ${known.join(', ')}`, {
      action: 'give a budget of the job',
    });
  for (const { budget, files } of job.results) {
    const names = files.map(({ name }) => name);
    const wrong = names.find((name, position) => !isFileName('result', name) || names.indexOf(name) !== position);
    if (!/^[0-9]+\.?[0-9]*$/.test(budget)) throw new EspalierError('protocol', `${at}: got a budget ${budget}`);
    if (wrong !== undefined) throw new EspalierError('protocol', `${at}: got a result file ${JSON.stringify(wrong)}`);
  }
  return job.results.filter(({ budget }) => budgets.length === 0 || budgets.includes(budget));
}
