// The life of a profile job: one model, one worker, a latency table.
import { openCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { denseSeconds, type LatencyTable } from '../pruning/latency-table.ts';
import { Releases } from '../shared/lifecycle.ts';
import { openBlobCache } from './job/blob-cache.ts';
import type { RunContext } from './job/job-context.ts';
import { latencyCache, tableText } from './job/latency-cache.ts';
import { localWeights, modelBlobs } from './job/model-blobs.ts';
import { requireDense } from './job/open-inputs.ts';
import { requireLengths } from './job/timing-settings.ts';
import type { TimingSettings, WorkerSettings } from './prune-settings.ts';
import { type FoundTable, findTable } from './stages/profile.ts';
import { writeFileAtomically } from './store/atomic-file.ts';
import { openWorkers } from './workers/workers.ts';

export interface ProfileSettings {
  /** Folder of the dense checkpoint. */
  readonly model: string;
  /** One batch size and one length. */
  readonly timing: TimingSettings;
  /** Measure again even where the cache has a table. */
  readonly again: boolean;
  /** File to write; null: none. */
  readonly out: string | null;
  readonly workers: WorkerSettings;
}

export interface LatencyProfile {
  readonly table: LatencyTable;
  readonly source: FoundTable['source'];
  /** As the table adds them up. */
  readonly denseSeconds: number;
}

/** Measures a model's latency table, or takes it from the user's cache. @throws EspalierError. */
export async function runProfileJob(
  settings: ProfileSettings,
  { signal, onEvent }: RunContext,
): Promise<LatencyProfile> {
  const releases = new Releases();
  try {
    onEvent({ kind: 'stage-started', stage: 'load', steps: 1 });
    const began = performance.now();
    const checkpoint = await openCheckpoint(settings.model);
    releases.add(() => checkpoint.close());
    requireDense({ checkpoint }, settings.model);
    requireLengths(settings.timing, checkpoint.config);
    const blobs = await openBlobCache();
    const workers = await openWorkers({ settings: settings.workers, blobDir: blobs.folder, onEvent, signal });
    releases.add(() => workers.close());
    const model = await modelBlobs(checkpoint, localWeights(blobs.store));
    onEvent({ kind: 'stage-finished', stage: 'load', seconds: (performance.now() - began) / 1000, reused: false });

    const start = performance.now();
    onEvent({ kind: 'stage-started', stage: 'profile', steps: 1 });
    const { runtime, threads, batchSizes, lengths } = settings.timing;
    const cache = latencyCache();
    const found = await findTable(
      { workers, signal, emit: onEvent },
      model,
      { runtime, threads, batchSize: batchSizes[0], tokens: lengths[0] },
      { given: null, cache: settings.again ? { read: async () => null, write: cache.write } : cache },
      (done, steps) => onEvent({ kind: 'stage-progress', stage: 'profile', done, steps }),
    );
    const seconds = (performance.now() - start) / 1000;
    onEvent({ kind: 'stage-finished', stage: 'profile', seconds, reused: found.source === 'cached' });
    if (settings.out !== null) await writeFileAtomically(settings.out, [tableText(found.table)]);
    return { table: found.table, source: found.source, denseSeconds: denseSeconds(found.table) };
  } finally {
    await releases.run();
  }
}
