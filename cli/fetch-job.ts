// The pruned models of one finished job as a folder, like that of `espalier prune --out`. Every file is checked by its
// digest; the output appears whole, by a rename, or not at all.
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isFileName } from '../coordinator/jobs/file-names.ts';
import { PAGE_FILE } from '../coordinator/report/page-mark.ts';
import { requireReplaceable } from '../coordinator/store/own-output.ts';
import { openRunFolder, type RunFolder } from '../coordinator/store/run-folder.ts';
import { blobOfFile } from '../shared/blobs/blob-source.ts';
import { EspalierError, toEspalierError } from '../shared/errors.ts';
import { formatBytes } from '../shared/quantities.ts';
import type { ClusterClient, Job } from './client/cluster-client.ts';
import type { CliContext } from './context.ts';
import { counted } from './quantities.ts';
import { ByteProgress } from './views/byte-progress.ts';

const REPORT_FILE = 'report.json';

export type Result = Job['results'][number];

export interface FetchTarget {
  /** Folder to write, absolute. */
  readonly out: string;
  readonly force: boolean;
  readonly quiet: boolean;
}

/** Writes a folder a budget. @throws EspalierError "output_exists" and others, after which there is nothing of it. */
export async function fetchJob(
  client: ClusterClient,
  job: Job,
  results: readonly Result[],
  { out, force, quiet }: FetchTarget,
  context: CliContext,
): Promise<void> {
  if (force) await requireReplaceable(out);
  const fingerprint = { fetched: job.id, budgets: results.map(({ budget }) => budget) };
  const folder = await openRunFolder({ out, force, resume: false, fingerprint });
  let isWhole = false;
  try {
    await downloadAll(client, job, results, folder, quiet, context);
    await stagePage(results, folder, context);
    context.signal.throwIfAborted();
    await folder.commit();
    isWhole = true;
  } finally {
    // What was downloaded so far is of no use to any later run.
    if (!isWhole) await folder.abandon();
  }
}

/** Whether a folder holds these results, their page and nothing else, by their reports: no two runs write the same. */
export async function isFetched(results: readonly Result[], out: string): Promise<boolean> {
  const names = (await readdir(out).catch(() => [])).filter((name) => name !== PAGE_FILE);
  if (names.length !== results.length) return false;
  for (const { budget, files } of results) {
    const digest = files.find(({ name }) => name === REPORT_FILE)?.digest;
    const found = await blobOfFile(path.join(out, budget, REPORT_FILE)).catch(() => null);
    if (digest === undefined || found?.digest !== digest) return false;
  }
  return true;
}

/** A page that cannot be made, of reports that another version wrote, keeps no model from its user. */
async function stagePage(results: readonly Result[], folder: RunFolder, { stderr }: CliContext): Promise<void> {
  const [{ readJob }, { writeJobPage }] = await Promise.all([
    import('../coordinator/report/read-report.ts'),
    import('../coordinator/report/write-pages.ts'),
  ]);
  try {
    const job = await readJob(path.dirname(await folder.staging(results[0].budget)));
    if (job !== null) await writeJobPage(job, folder.staged(PAGE_FILE));
  } catch (caught) {
    const error = toEspalierError(caught);
    if (error.code !== 'data_format') throw error;
    stderr.write(`no ${PAGE_FILE} of it: ${error.message}\n`);
  }
}

async function downloadAll(
  client: ClusterClient,
  job: Job,
  results: readonly Result[],
  folder: RunFolder,
  quiet: boolean,
  { stderr, env, now, onExit }: CliContext,
): Promise<void> {
  const files = results.flatMap((result) => result.files.map((file) => ({ ...file, budget: result.budget })));
  const totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  await folder.requireSpace(totalBytes);
  const progress = new ByteProgress({ sink: stderr, quiet, terminal: env.TERM, now, verb: 'downloaded' });
  progress.expect(totalBytes);
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
  if (!quiet) stderr.write(`downloaded ${job.name}: ${counted(files.length, 'file')} of ${formatBytes(totalBytes)}\n`);
}

/** The results to download. What a peer calls budgets and files becomes paths only when it is of the expected form.
 * @throws EspalierError "job_state", "job_failed", "usage" for a budget that the job does not have, "protocol". */
export function chosenResults(job: Job, budgets: readonly string[]): Result[] {
  const at = `${job.id} (${job.name})`;
  if (job.state === 'failed')
    throw new EspalierError('job_failed', `${at}: got no result, the job failed`, {
      action: `see \`espalier logs ${job.id}\``,
    });
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
    if (!/^(?:(?:latency|max-drop)-)?[0-9]+\.?[0-9]*(?:ms)?$/.test(budget))
      throw new EspalierError('protocol', `${at}: got a budget ${budget}`);
    if (wrong !== undefined) throw new EspalierError('protocol', `${at}: got a result file ${JSON.stringify(wrong)}`);
  }
  return job.results.filter(({ budget }) => budgets.length === 0 || budgets.includes(budget));
}
