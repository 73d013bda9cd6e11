// Stage "plan": which samples are drawn, in which order, in which shards and micro-batches.

import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import type { Dataset } from '../../dataset/load-dataset.ts';
import { makePlan } from '../../dataset/plan.ts';
import { encodePlan } from '../../dataset/plan-blob.ts';
import { randomStream } from '../../pruning/random.ts';
import { blobOfBytes } from '../../shared/blobs/blob-source.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import type { PlannedSamples } from '../job/job-context.ts';

/** Part of the calibration samples that judges tuning, whole shards of it. */
const HELD_OUT = 0.25;
const LEAST_SHARDS = 16;
/** Multiply-accumulates of a forward and backward pass that a shard should cost: about half a second on a CPU core, or
 * a tenth on a GPU. */
const SHARD_MACS = { cpu: 2e10, gpu: 4e12 };
const TOKENS_PER_BATCH = { cpu: 2048, gpu: 16384 };
/** What a micro-batch costs beside its tokens, in tokens. Through plain operations the host needs longer to issue a
 * micro-batch's than an H200 to compute a few thousand tokens of them (docs/performance.md). */
const GPU_BATCH_OVERHEAD_TOKENS = 2048;

/** Rows in the order in which they are drawn: seeded, without repeats unless `replacement`. */
export function drawRows(rows: number, samples: number, seed: number, replacement: boolean): Int32Array {
  const stream = randomStream(seed, 'samples');
  if (replacement) return Int32Array.from({ length: samples }, () => stream.integer(rows));
  return stream.permutation(rows);
}

/** Draws and tokenises calibration samples. A sample of question answering is a window: the windows of a question follow
 * each other. */
export function drawSamples(dataset: Dataset, settings: { samples: number; seed: number; replacement: boolean }) {
  const order = drawRows(dataset.rows, settings.samples, settings.seed, settings.replacement);
  return dataset.encodeUntil(order, settings.samples);
}

/** Padded tokens of a micro-batch that a device class starts with. */
export function tokensPerBatch(device: DeviceClass): number {
  return TOKENS_PER_BATCH[device.kind === 'gpu' ? 'gpu' : 'cpu'];
}

/** The plan of calibration or evaluation samples for a model and a device class. */
export function planSamples(
  samples: readonly EncodedSample[],
  options: { config: ModelConfig; device: DeviceClass; groupSize: number; tokensPerBatch: number; heldOut: boolean },
): PlannedSamples {
  const { config, device } = options;
  const kind = device.kind === 'gpu' ? 'gpu' : 'cpu';
  const macsPerToken =
    3 * config.layers * (4 * config.hiddenSize ** 2 + 2 * config.hiddenSize * config.intermediateSize);
  const plan = makePlan(samples, {
    groupSize: options.groupSize,
    tokensPerBatch: options.tokensPerBatch,
    ...(kind === 'gpu' && { batchOverheadTokens: GPU_BATCH_OVERHEAD_TOKENS }),
    tokensPerShard: Math.max(64, SHARD_MACS[kind] / macsPerToken),
    leastShards: LEAST_SHARDS,
    heldOut: options.heldOut ? HELD_OUT : 0,
  });
  return { plan, blob: blobOfBytes(encodePlan(plan)) };
}
