// Pages as files. A page replaces an earlier page and nothing else.
import { EspalierError } from '../../shared/errors.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { campaignPage, type LinkedJob } from './campaign-page.ts';
import { jobPage } from './job-page.ts';
import { isOwnPage } from './page-mark.ts';
import type { ReportedJob } from './reported-job.ts';

/** @throws EspalierError "output_exists" when the file is there and is no page of Espalier's. */
export async function writeJobPage(job: ReportedJob, file: string): Promise<void> {
  await writePage(jobPage(job), file);
}

/** @param name what is compared. @throws EspalierError "output_exists" as `writeJobPage`. */
export async function writeCampaignPage(name: string, jobs: readonly LinkedJob[], file: string): Promise<void> {
  await writePage(campaignPage(name, jobs), file);
}

async function writePage(page: string, file: string): Promise<void> {
  if ((await isOwnPage(file)) === false)
    throw new EspalierError('output_exists', `${file}: got a file that Espalier did not write`, {
      action: 'move it away or choose another --out',
    });
  await writeFileAtomically(file, [page]);
}
