// The Artifacts service: blobs that the record of a job names, in chunks, as fast as the client takes them.
import { checkDigest } from '../../shared/blobs/digest.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Log } from '../../shared/log.ts';
import { drained } from '../../shared/rpc/back-pressure.ts';
import type { BlobChunk } from '../../shared/rpc/generated/espalier/v1/BlobChunk.ts';
import type { GetBlobRequest__Output } from '../../shared/rpc/generated/espalier/v1/GetBlobRequest.ts';
import { type ArtifactsHandlers, CHUNK_BYTES } from '../../shared/rpc/protocol.ts';
import type { FileSource, JobRecord } from '../jobs/job-record.ts';
import type { JobStore } from '../jobs/job-store.ts';
import { Places, streaming } from './answer.ts';
import { MOST_DOWNLOADS } from './limits.ts';
import { checkId } from './request-fields.ts';

export interface ArtifactsServiceParts {
  readonly store: Pick<JobStore, 'read'>;
  readonly objects: Bus['objects'];
  readonly stopped: AbortSignal;
  readonly log: Log;
}

export function artifactsService({ store, objects, stopped, log }: ArtifactsServiceParts): ArtifactsHandlers {
  const places = new Places(MOST_DOWNLOADS, 'downloads');
  return {
    Get: streaming<GetBlobRequest__Output, BlobChunk>(log, 'Artifacts.Get', stopped, (call, signal) =>
      places.hold(async () => {
        const { digest, jobId } = call.request;
        checkDigest(digest);
        const record = await store.read(checkId(jobId));
        if (!namedBy(record).has(digest))
          throw new EspalierError('blob_missing', `${digest}: got no blob of this name in job ${record.id}`, {
            action: 'take the names from Jobs.Get',
          });
        for await (const part of objects.open(digest, signal))
          for (let start = 0; start < part.byteLength; start += CHUNK_BYTES) {
            signal.throwIfAborted();
            if (!call.write({ chunk: part.subarray(start, start + CHUNK_BYTES) })) await drained(call);
          }
      }),
    ),
  };
}

/** Digests of a job's inputs and results. Stored stages are the cluster's own business. */
function namedBy({ spec, results }: JobRecord): Set<string> {
  const files = (source: FileSource | null) => (source?.kind === 'blobs' ? source.files : []);
  const inputs = [spec.model, spec.data, spec.evaluation].flatMap(files);
  return new Set([...inputs, ...results.flatMap((result) => result.files)].map(({ digest }) => digest));
}
