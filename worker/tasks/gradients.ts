// Task "gradients": what a gradual step is decided by, at a student: importance of what it keeps, and how much the loss moves
// with each token of each sub-layer's output (docs/adr/0028-gradual.md).
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Plan, Shard } from '../../dataset/plan.ts';
import { MOST_TASK_GRADIENTS } from '../../pruning/fisher.ts';
import { foldTree } from '../../pruning/fold-tree.ts';
import { keptIndices, type Masks } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { type PackedPart, PackedUpload, type SentUpload, unpack } from '../engine/packed-upload.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { Student } from '../model/student.ts';
import { positionsOf } from '../tuning/stretch.ts';
import { type LabelledBatch, packShard, sampleLosses, shardPass } from './gradient-pass.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface GradientsInput {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly shards: ShardRange;
  readonly student: Student;
}

/** @returns the tensors that worker.proto names for GradientsTask. Sums over shards are folded in the plan's tree. */
export async function runGradients(context: TaskContext, input: GradientsInput): Promise<NamedTensor[]> {
  const { engine, ops } = context;
  const { plan, student } = input;
  const shards = shardsOf(plan, input.shards);
  const { first, end } = input.shards;
  const weights = await context.models.student(input.model, student.masks, student.patches);
  const positions = shards.reduce((sum, shard) => sum + keptPositions(plan, shard).length, 0);
  const steps = 2 * weights.layers.length;
  if (positions * steps > MOST_TASK_GRADIENTS)
    throw new EspalierError(
      'protocol',
      `gradients: got ${positions} tokens in ${steps} sub-layers, expected at most ${MOST_TASK_GRADIENTS} gradients`,
    );
  return engine.scope(() => {
    const uploads = shards.map((shard) => uploadShard(context, weights, plan, shard));
    const found = uploads.map((upload) => engine.scope(() => shardGradients(context, weights, upload)));
    const importance = foldTree(
      first,
      end,
      (shard) => found[shard - first].importance,
      (a, b) => ops.add(a, b),
    );
    const variables = importance.shape[0];
    // Both are float64 and small: one download.
    const sums = engine.downloadFloat64(ops.concat([importance, ...found.flatMap(({ losses }) => losses)], 0));
    const losses = sampleLosses(shards, sums.subarray(variables));
    const tokenGradients = engine.downloadFloat32(
      ops.concat(
        found.map((shard) => shard.tokenGradients),
        1,
      ),
    );
    return [
      { name: 'losses', dtype: 'F32', shape: [losses.length], data: losses },
      ...denseImportance(weights.config, student.masks, sums.subarray(0, variables)),
      { name: 'token_gradients', dtype: 'F32', shape: [steps, positions], data: tokenGradients },
    ];
  });
}

interface ShardGradients {
  /** float64 [variables]: sums over samples of squared mask gradients, the kept heads of all layers first. */
  readonly importance: DeviceTensor;
  /** float64 [b] of each micro-batch. */
  readonly losses: readonly DeviceTensor[];
  /** float32 [2·layers, positions] */
  readonly tokenGradients: DeviceTensor;
}

interface ShardUpload {
  readonly sent: SentUpload;
  readonly packed: readonly LabelledBatch[];
  /** See `keptPositions`; null where no row is padding. */
  readonly places: PackedPart | null;
}

// All shards of a task go up before the first pass: an upload waits for everything that was issued before it.
function uploadShard(context: TaskContext, weights: EncoderWeights, plan: Plan, shard: Shard): ShardUpload {
  const upload = new PackedUpload();
  const packed = packShard(context, upload, weights, plan, shard);
  const rows = packed.reduce((sum, { batch }) => sum + batch.rows, 0);
  const positions = shard.batches.reduce((sum, batch) => sum + positionsOf(plan, batch), 0);
  const kept = rows === positions ? null : keptPositions(plan, shard);
  const places = kept && upload.add(kept, [kept.length]);
  return { sent: upload.send(context.ops), packed, places };
}

function shardGradients(
  context: TaskContext,
  weights: EncoderWeights,
  { sent, packed, places }: ShardUpload,
): ShardGradients {
  const { ops } = context;
  const found = shardPass(context, weights, sent, packed, {
    wantsLengths: true,
    summand: (gradients) => {
      const g = ops.toFloat64(gradients);
      return ops.sum64(ops.mul(g, g), [0]);
    },
  });
  const rows = ops.concat(found.squaredLengths, 1);
  const tokenGradients = places === null ? rows : ops.gather(rows, unpack(ops, sent, places), 1);
  return { importance: found.sum, losses: found.losses, tokenGradients };
}

// Unpadded tokens among those of the shard's micro-batches, one after the other.
function keptPositions({ samples }: Plan, { batches }: Shard): Int32Array {
  const kept: number[] = [];
  let row = 0;
  for (const { members, tokens } of batches)
    for (const member of members) {
      const { length } = samples[member].tokenIds;
      for (let token = 0; token < length; token++) kept.push(row + token);
      row += tokens;
    }
  return Int32Array.from(kept);
}

/** @param kept of what the masks keep, the heads of all layers first. */
function denseImportance(
  { layers, heads, intermediateSize }: ModelConfig,
  { headMask, neuronMask }: Masks,
  kept: Float64Array,
): NamedTensor[] {
  let next = 0;
  const dense = (name: string, mask: Uint8Array, perLayer: number): NamedTensor => {
    const data = new Float64Array(layers * perLayer);
    for (let layer = 0; layer < layers; layer++)
      for (const index of keptIndices(mask, layer, perLayer)) data[layer * perLayer + index] = kept[next++];
    return { name, dtype: 'F64', shape: [layers * perLayer], data };
  };
  return [dense('head_importance', headMask, heads), dense('neuron_importance', neuronMask, intermediateSize)];
}
