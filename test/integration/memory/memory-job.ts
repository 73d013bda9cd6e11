// The job of test/integration/memory on the coordinator's side: the real stages of Fisher information, search, rearrangement and tuning
// with what they store, over a model and samples that are there in size only.
import { createHash } from 'node:crypto';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import type { Checkpoint } from '../../../checkpoint/open-checkpoint.ts';
import { MOST_SUM_BYTES, threadRearrange } from '../../../coordinator/cluster-job.ts';
import { modelCosts } from '../../../coordinator/job/budget.ts';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import type { MemoryRoom } from '../../../coordinator/job/memory-room.ts';
import { macsSearch } from '../../../coordinator/stages/find-masks.ts';
import { storedFisher } from '../../../coordinator/stages/fisher.ts';
import { pruneToTarget } from '../../../coordinator/stages/prune-budget.ts';
import { ClusterHome } from '../../../coordinator/store/cluster-home.ts';
import type { ComputeThreads } from '../../../coordinator/threads/compute-threads.ts';
import type { Fleet } from '../../../coordinator/workers/fleet.ts';
import type { EncodedSample } from '../../../dataset/encoded-sample.ts';
import { makePlan } from '../../../dataset/plan.ts';
import { encodePlan } from '../../../dataset/plan-blob.ts';
import { type BlobSource, blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import type { ObjectBucket } from '../../../shared/bus/bus.ts';
import type { MemoryCase } from './memory-messages.ts';

export function sizesOf({ hiddenSize, layers }: Pick<MemoryCase, 'hiddenSize' | 'layers'>) {
  return { layers, hiddenSize, heads: hiddenSize / 64, headSize: 64, neurons: 4 * hiddenSize };
}

/** Rows of a range of shards, a row a sample. */
export function shardRows({ rows, shards }: MemoryCase, range: { first?: number; end?: number }): number {
  return Math.floor((range.end! * rows) / shards) - Math.floor((range.first! * rows) / shards);
}

/** In the store, were there one: workers are not sent it. */
function weightsOf(job: number): BlobSource {
  const digest = createHash('sha256').update(`weights of job ${job}`).digest('hex');
  const open = () => {
    throw new Error('the weights of a simulated job are not sent');
  };
  return { digest, sizeBytes: 1, origin: 'store', open };
}

/** @returns how many neurons are kept. */
export async function runMemoryJob(
  job: number,
  sizes: MemoryCase,
  parts: { fleet: Fleet; objects: ObjectBucket; threads: ComputeThreads; memory: MemoryRoom; folder: string },
): Promise<number> {
  const { layers, hiddenSize, heads, headSize, neurons } = sizesOf(sizes);
  const config = { layers, hiddenSize, heads, headSize, intermediateSize: neurons, outputs: 2 } as ModelConfig;
  const weights = weightsOf(job);
  const { signal } = new AbortController();
  const workers = await parts.fleet.join({
    ...{ id: `job-${job}`, campaign: 'memory', priority: 0, deviceClass: null, signal, models: [], onEvent() {} },
  });
  try {
    const samples = Array.from({ length: sizes.rows }, (_, i): EncodedSample => {
      return { tokenIds: new Int32Array(8).fill(job + i), typeIds: new Uint8Array(8), target: Float32Array.of(0) };
    });
    const limits = { groupSize: 1, tokensPerBatch: 16_384, heldOut: 0.25, leastShards: sizes.shards };
    const plan = makePlan(samples, { ...limits, tokensPerShard: Number.POSITIVE_INFINITY });
    const home = new ClusterHome({
      ...{ stages: {}, objects: parts.objects, folder: parts.folder, budgets: ['0.98'], signal },
      async commit() {},
      onNotice: (text) => process.stderr.write(`${text}\n`),
    });
    const context: JobContext = {
      ...{ workers, signal, home, emit() {}, evaluation: null },
      checkpoint: { config } as Checkpoint,
      model: {
        config,
        ref: { configJson: '{}', weights: [{ digest: weights.digest, sizeBytes: 1 }] },
        blobs: [weights],
      },
      weights: { place: async () => weights },
      calibration: { plan, blob: blobOfBytes(encodePlan(plan)) },
      mostSumBytes: MOST_SUM_BYTES,
      memory: parts.memory,
      compute: { ...threadRearrange(parts, signal), write: notWritten, writeOnnx: notWritten },
    };
    const budget = { text: '0.98', value: 0.98 };
    const fisher = await storedFisher(context, 'fisher');
    const settings = { method: sizes.method, damping: 'ridge', search: 'paper', neuronMultiple: 1 } as const;
    const costs = modelCosts(config, 8, { budgets: [budget], ...settings });
    const search = macsSearch(config, costs, settings);
    const target = { text: budget.text, cost: 'macs', fraction: budget.value, stages: 'job' } as const;
    const { masks } = await pruneToTarget(context, fisher, search, costs, target, settings);
    return masks.neuronMask.reduce((sum, bit) => sum + bit, 0);
  } finally {
    await workers.close();
  }
}

function notWritten(): never {
  throw new Error('no model is written here');
}
