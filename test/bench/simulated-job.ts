// One job of `npm run bench:cluster` on the coordinator's side: the real stages "fisher" and "tune" with what they store,
// over a model and samples that are there in size only. What lies between them, search and rearrangement, is left out:
// this measures coordination.
import { createHash } from 'node:crypto';
import type { Checkpoint } from '../../checkpoint/open-checkpoint.ts';
import { MOST_SUM_BYTES } from '../../coordinator/cluster-job.ts';
import type { JobContext } from '../../coordinator/job/job-context.ts';
import type { HeldJob } from '../../coordinator/jobs/held-job.ts';
import { storedFisher } from '../../coordinator/stages/fisher.ts';
import { runTune } from '../../coordinator/stages/tune.ts';
import { tuningToTensors } from '../../coordinator/stages/tune-state.ts';
import { ClusterHome } from '../../coordinator/store/cluster-home.ts';
import type { Fleet } from '../../coordinator/workers/fleet.ts';
import { makePlan } from '../../dataset/plan.ts';
import { encodePlan } from '../../dataset/plan-blob.ts';
import { denseMasks } from '../../pruning/masks.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../pruning/tuning.ts';
import { type BlobSource, blobOfBytes } from '../../shared/blobs/blob-source.ts';
import type { ObjectBucket } from '../../shared/bus/bus.ts';
import * as bert from './bert-base.ts';

/** In the store, were there one: workers are not sent it. */
function weightsOf(job: string): BlobSource {
  const digest = createHash('sha256').update(`weights of job ${job}`).digest('hex');
  return { digest, sizeBytes: bert.WEIGHT_BYTES, origin: 'store', open: () => neverSent() };
}

// biome-ignore lint/correctness/useYield: it has nothing to give.
async function* neverSent(): AsyncIterable<Uint8Array> {
  throw new Error('the weights of a simulated job are not sent');
}

function notComputed(): never {
  throw new Error('neither fisher nor tune computes here');
}

export async function runSimulatedJob(
  held: HeldJob,
  { fleet, objects, folder }: { readonly fleet: Fleet; readonly objects: ObjectBucket; readonly folder: string },
): Promise<void> {
  const { record, signal } = held;
  const blob = weightsOf(record.id);
  const workers = await fleet.join({
    ...{ id: record.id, campaign: record.campaign, priority: record.priority, deviceClass: null, signal },
    models: [blob.digest],
    onEvent: (event) => held.emit(event),
  });
  try {
    const plan = makePlan(bert.samplesOf(record.id), {
      ...{ groupSize: bert.GROUP, tokensPerBatch: 16_384, heldOut: 0.25 },
      ...{ leastShards: bert.SHARDS, tokensPerShard: Number.POSITIVE_INFINITY },
    });
    const home = new ClusterHome({
      ...{ stages: record.stages, objects, folder, budgets: ['0.5'], signal },
      commit: (name, entry) => held.commitStage(name, entry),
      onNotice: () => {},
    });
    const context: JobContext = {
      ...{ workers, signal, home, emit: (event) => held.emit(event), evaluation: null },
      checkpoint: { config: bert.CONFIG } as Checkpoint,
      model: {
        config: bert.CONFIG,
        ref: { configJson: bert.CONFIG_JSON, weights: [{ digest: blob.digest, sizeBytes: blob.sizeBytes }] },
        blobs: [blob],
      },
      weights: { place: async () => blob },
      calibration: { plan, blob: blobOfBytes(encodePlan(plan)) },
      mostSumBytes: MOST_SUM_BYTES,
      compute: { rearrange: notComputed, write: notComputed, writeOnnx: notComputed },
    };
    await storedFisher(context, 'fisher');
    const teacher = denseMasks(bert.LAYERS, bert.HEADS, bert.NEURONS);
    const input = { teacher, student: bert.halfMasks(), settings: DEFAULT_TUNING_SETTINGS, resumed: null };
    await runTune(context, input, {
      store: (progress) =>
        home.writeTensors('tune', tuningToTensors(progress), { seconds: 0, reports: progress.reports }),
    });
  } finally {
    await workers.close();
  }
}
