// Stage "plan": which samples are drawn, in which order, in which shards and micro-batches.

import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { fixedBytes, type Pass, tokenBytes, USABLE_SHARE } from '../../dataset/batch-memory.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import type { Dataset } from '../../dataset/load-dataset.ts';
import { makePlan } from '../../dataset/plan.ts';
import { encodePlan } from '../../dataset/plan-blob.ts';
import { computesUnpadded } from '../../dataset/unpadded.ts';
import { randomStream } from '../../pruning/random.ts';
import { blobOfBytes } from '../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import { LEAST_TOKENS_PER_BATCH } from '../job/fitting-batches.ts';
import type { PlannedSamples } from '../job/job-context.ts';

/** Part of the calibration samples that judges tuning, whole shards of it. */
const HELD_OUT = 0.25;
/** On a GPU the host issues the same operations for a small shard as for a large one, and a large one packs with less padding
 * (docs/performance.md); four still keep as many GPUs busy. */
const LEAST_SHARDS = { cpu: 16, gpu: 4 };
/** Multiply-accumulates of a forward and backward pass that a shard should cost: about half a second on a CPU core, or
 * a quarter on a GPU. */
const SHARD_MACS = { cpu: 2e10, gpu: 2e13 };
/** Padded tokens of a micro-batch at the most: more would not be faster. A power of two, as what is taken of it is. */
const MOST_TOKENS_PER_BATCH = { cpu: 2048, gpu: 16384 };
/** Memory of a micro-batch on a CPU. What is free there changes by the minute, and results must not: so the model alone
 * decides. */
const CPU_BATCH_BYTES = 4e9;
/** What a micro-batch costs beside its tokens, in tokens: what an H200 computes of them while the host issues a micro-batch's
 * operations, which are half as many fused as plain (docs/performance.md). */
const GPU_BATCH_OVERHEAD_TOKENS = { fused: 1024, plain: 2048 };
/** Attention's products take a quarter to a third less time where rows of its scores begin at multiples of 16 bytes
 * (docs/performance.md). Short samples would be padded by more than that saves. */
const GPU_ROUNDING = { multiple: 4, from: 64 };

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

/** Padded tokens of a micro-batch that a job starts with: what is fastest, halved until the memory of the device class holds
 * it beside the model. The same for equal classes, models and longest samples.
 * @param pass the one of the job that takes most. @param samples all that the job computes.
 * @throws EspalierError "out_of_memory" where not even one sample fits. */
export function tokensPerBatch(
  device: DeviceClass,
  config: ModelConfig,
  pass: Pass,
  samples: readonly EncodedSample[],
): number {
  const longest = samples.reduce((most, { tokenIds }) => Math.max(most, tokenIds.length), 1);
  const aToken = tokenBytes(config, device.kernels, pass, longest);
  if (device.kind !== 'gpu') return fitting(MOST_TOKENS_PER_BATCH.cpu, CPU_BATCH_BYTES / aToken);
  // Not known: as if it were enough. Where it is not, the job is planned again.
  if (device.memoryGb === 0) return MOST_TOKENS_PER_BATCH.gpu;
  const bytes = device.memoryGb * 1e9;
  const fixed = fixedBytes(config);
  if (fixed + longest * aToken > bytes)
    throw new EspalierError(
      'out_of_memory',
      `one sample of ${longest} tokens: got a GPU of ${device.memoryGb} GB, expected ${gigabytes(fixed)} for the model and ${gigabytes(longest * aToken)} for the sample`,
      { action: 'use a GPU with more memory, a larger --gpu-memory, or a smaller --max-length' },
    );
  return fitting(MOST_TOKENS_PER_BATCH.gpu, (bytes * USABLE_SHARE - fixed) / aToken);
}

/** `most`, halved until it is no more than `tokens`, but not below what a job is given up at. */
function fitting(most: number, tokens: number): number {
  let limit = most;
  while (limit > tokens && limit / 2 >= LEAST_TOKENS_PER_BATCH) limit /= 2;
  return limit;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** The plan of calibration or evaluation samples for a model and a device class. */
export function planSamples(
  samples: readonly EncodedSample[],
  options: {
    config: ModelConfig;
    device: DeviceClass;
    groupSize: number;
    tokensPerBatch: number;
    heldOut: boolean;
    /** For scores that users see, which are float32. Left out: false. */
    forScores?: boolean;
  },
): PlannedSamples {
  const { config, device, forScores = false } = options;
  const kind = device.kind === 'gpu' ? 'gpu' : 'cpu';
  const kernels = device.kernels === 'fused' ? 'fused' : 'plain';
  const macsPerToken =
    3 * config.layers * (4 * config.hiddenSize ** 2 + 2 * config.hiddenSize * config.intermediateSize);
  const plan = makePlan(samples, {
    groupSize: options.groupSize,
    tokensPerBatch: options.tokensPerBatch,
    ...(kind === 'gpu' && {
      batchOverheadTokens: GPU_BATCH_OVERHEAD_TOKENS[kernels],
      ...(!forScores && computesUnpadded(device, config.headSize)
        ? { isUnpadded: true }
        : { rounding: { ...GPU_ROUNDING, most: config.maxTokens } }),
    }),
    tokensPerShard: Math.max(64, SHARD_MACS[kind] / macsPerToken),
    leastShards: LEAST_SHARDS[kind],
    heldOut: options.heldOut ? HELD_OUT : 0,
  });
  return { plan, blob: blobOfBytes(encodePlan(plan)) };
}
