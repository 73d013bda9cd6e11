// What `espalier report` and `espalier fetch` do with folders: a page for each job in them, and one that compares several.
import path from 'node:path';
import type { LinkedJob } from '../coordinator/report/campaign-page.ts';
import { PAGE_FILE } from '../coordinator/report/page-mark.ts';
import { folderNames, readJob } from '../coordinator/report/read-report.ts';
import type { ReportedJob } from '../coordinator/report/reported-job.ts';
import { writeCampaignPage, writeJobPage } from '../coordinator/report/write-pages.ts';
import { EspalierError } from '../shared/errors.ts';
import type { ReportSettings } from './parse-report.ts';

interface Found {
  readonly name: string;
  /** As the user wrote it. */
  readonly folder: string;
  readonly job: ReportedJob;
}

/** @param cwd folder that relative paths start at. @returns the files that were written, as the user would write them.
 * @throws EspalierError "data_not_found" when a folder holds no report, "data_format", "output_exists". */
export async function writePages({ folders, out }: ReportSettings, cwd: string): Promise<string[]> {
  const found: Found[] = [];
  for (const folder of folders) found.push(...(await jobsIn(folder, cwd)));
  const [first] = found;
  if (folders.length === 1 && found.length === 1 && first.folder === folders[0]) {
    const file = out ?? path.join(first.folder, PAGE_FILE);
    await writeJobPage(first.job, path.resolve(cwd, file));
    return [file];
  }
  const pages: string[] = [];
  for (const { folder, job } of found) {
    const file = path.join(folder, PAGE_FILE);
    await writeJobPage(job, path.resolve(cwd, file));
    pages.push(file);
  }
  const file = out ?? path.join(folders[0], PAGE_FILE);
  const name = folders.length === 1 ? path.basename(path.resolve(cwd, folders[0])) : `${found.length} jobs`;
  await writeCampaignPage(name, linked(found, path.resolve(cwd, file), cwd), path.resolve(cwd, file));
  return [...pages, file];
}

/** Writes the page that compares jobs into the folder that holds theirs. @param names of the folders.
 * @throws EspalierError "data_format" and "output_exists". */
export async function writeComparison(name: string, folder: string, names: readonly string[]): Promise<void> {
  const jobs: LinkedJob[] = [];
  for (const own of names) {
    const job = await readJob(path.join(folder, own));
    if (job !== null) jobs.push({ name: own, job, page: [own, PAGE_FILE] });
  }
  if (jobs.length > 0) await writeCampaignPage(name, jobs, path.join(folder, PAGE_FILE));
}

/** The job whose folder this is, or those in it. */
async function jobsIn(folder: string, cwd: string): Promise<Found[]> {
  const absolute = path.resolve(cwd, folder);
  const own = await readJob(absolute);
  if (own !== null) return [{ name: path.basename(absolute), folder, job: own }];
  const found: Found[] = [];
  for (const name of await folderNames(absolute)) {
    const job = await readJob(path.join(absolute, name));
    if (job !== null) found.push({ name, folder: path.join(folder, name), job });
  }
  if (found.length > 0) return found;
  const action = 'give a folder that `espalier prune` or `espalier fetch` wrote';
  throw new EspalierError('data_not_found', `${folder}: got no report.json in it or in its folders`, { action });
}

/** Jobs as the comparison lists them; where two have one name, the folders above tell them apart. */
function linked(found: readonly Found[], file: string, cwd: string): LinkedJob[] {
  return found.map(({ name, folder, job }) => {
    const isTwice = found.filter((other) => other.name === name).length > 1;
    const page = path.relative(path.dirname(file), path.resolve(cwd, folder, PAGE_FILE)).split(path.sep);
    return { name: isTwice ? folder : name, job, page };
  });
}
