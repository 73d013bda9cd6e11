// What a cluster's job leaves: the files of each pruned model in the object store, named in the job's record by digest.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { blobOfFile } from '../../shared/blobs/blob-source.ts';
import type { ObjectBucket } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { checkFileName } from '../jobs/file-names.ts';
import type { FileRef, JobResult } from '../jobs/job-record.ts';
import type { PruneReport } from '../prune-report.ts';

/** Of all reports in one record; beyond it they leave out how each sub-layer was tuned or refitted, which report.json always has. */
const REPORTS_BYTES = 128 * 1024;

/** Puts the files of a folder into the object store, but for one that is there.
 * @throws EspalierError "store_full", "bus_unavailable". */
export async function storeFiles(
  folder: string,
  there: FileRef,
  objects: ObjectBucket,
  signal: AbortSignal,
): Promise<FileRef[]> {
  const files: FileRef[] = [];
  for (const name of (await readdir(folder)).sort()) {
    if (name === there.name) {
      files.push(there);
      continue;
    }
    const blob = await blobOfFile(path.join(folder, checkFileName('result', name)));
    await objects.put(blob.digest, blob.sizeBytes, blob.open(), signal);
    files.push({ name, digest: blob.digest, sizeBytes: blob.sizeBytes });
  }
  return files;
}

/** Makes sure that what is about to be named is there and young, however long ago it was put: retention leaves it then.
 * @throws EspalierError "blob_missing": the job goes on from its last stage. */
export async function keepFiles(results: readonly JobResult[], objects: ObjectBucket): Promise<void> {
  for (const { files } of results)
    for (const { name, digest } of files)
      if ((await objects.keep(digest)) === null)
        throw new EspalierError('blob_missing', `${digest}: ${name} was deleted before it was named`);
}

/** Reports as a record holds them. */
export function recordedReports(reports: readonly PruneReport[]): readonly JobResult['report'][] {
  if (Buffer.byteLength(JSON.stringify(reports)) <= REPORTS_BYTES) return reports;
  return reports.map(({ steps, ...report }) => ({ ...report, tuning: [] }));
}
