// Task "normal-equations": the sums of one sub-layer over some shards (method: docs/method.md, "Tuning").
import { createHash } from 'node:crypto';
import type { Plan } from '../../dataset/plan.ts';
import { foldTree } from '../../pruning/fold-tree.ts';
import type { Masks, SubLayer } from '../../pruning/masks.ts';
import { addSums, type SubLayerSums, sumsToTensors } from '../../pruning/normal-equations.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { type LocalModel, ModelCache, masksKey } from '../model/model-cache.ts';
import { withoutScales } from '../tuning/scaled-student.ts';
import { base, features, output, projection, stepOf } from '../tuning/sub-layer.ts';
import type { BatchState, TuningPair } from '../tuning/tuning-states.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface TuningInput {
  readonly model: LocalModel;
  readonly plan: Plan;
  readonly planDigest: string;
  readonly teacher: Masks;
  readonly student: Masks;
  readonly layer: number;
  readonly subLayer: SubLayer;
}

export interface NormalEquationsInput extends TuningInput {
  readonly shards: ShardRange;
}

/** @returns the tensors that worker.proto names for NormalEquationsTask. */
export async function runNormalEquations(context: TaskContext, input: NormalEquationsInput): Promise<NamedTensor[]> {
  return sumsToTensors(await subLayerSums(context, input, input.shards));
}

/** Teacher and student of a task, from the cache of models. @throws EspalierError "protocol" for a layer that they lack. */
export async function tuningPair(context: TaskContext, input: TuningInput): Promise<TuningPair> {
  if (!(input.layer < input.student.layers))
    throw new EspalierError('protocol', `layer: got ${input.layer}, expected 0 to ${input.student.layers - 1}`);
  const hash = createHash('sha256')
    .update(ModelCache.key(input.model))
    .update(input.planDigest)
    .update(masksKey(input.teacher));
  return {
    key: hash.digest('hex'),
    plan: input.plan,
    dense: await context.models.dense(input.model),
    teacher: await context.models.pruned(input.model, input.teacher),
    student: await context.models.pruned(input.model, withoutScales(input.student)),
    masks: input.student,
  };
}

/** Sums over a node of the plan's tree, folded in the tree's order. */
export async function subLayerSums(
  context: TaskContext,
  input: TuningInput,
  shards: ShardRange,
): Promise<SubLayerSums> {
  shardsOf(input.plan, shards);
  const pair = await tuningPair(context, input);
  const step = stepOf(input.layer, input.subLayer);
  return foldTree(shards.first, shards.end, (shard) => shardSums(context, pair, shard, step), addSums);
}

function shardSums(context: TaskContext, pair: TuningPair, shard: number, step: number): SubLayerSums {
  const { engine, ops, states } = context;
  const width = projection(pair.student, step)?.shape[0] ?? 0;
  const { hiddenSize } = pair.student.config;
  if (width === 0) throw new EspalierError('protocol', `sub-layer ${step}: got no kept variable, expected one`);
  // Float32 products of a micro-batch, summed over micro-batches in float64 on the device.
  let totals: DeviceTensor[] | null = null;
  let positions = 0;
  try {
    states.visit(pair, shard, step, (state) => {
      context.checkCancelled();
      const sums = engine.scope(() => batchSums(context, pair, state, step));
      positions += sums.positions;
      const before = totals;
      totals = before === null ? sums.parts : before.map((total, i) => ops.add(total, sums.parts[i]));
      engine.keep(totals);
      if (before !== null) for (const total of before) engine.dispose(total);
    });
    if (totals === null) throw new EspalierError('internal', `shard ${shard}: got no micro-batch, expected one`);
    const [gram, cross, featureSums, targetSum, targetSquares] = (totals as DeviceTensor[]).map((total) =>
      engine.scope(() => engine.downloadFloat64(total)),
    );
    return {
      features: width,
      hiddenSize,
      gram: packUpper(gram, width),
      cross,
      featureSums,
      targetSum: targetSum[0],
      targetSquares: targetSquares[0],
      positions,
    };
  } finally {
    for (const total of totals ?? []) engine.dispose(total);
  }
}

// XᵀX, XᵀR, column sums of X, sum of R and of R², float64 tensors of one micro-batch.
function batchSums(
  context: TaskContext,
  pair: TuningPair,
  state: BatchState,
  step: number,
): { parts: DeviceTensor[]; positions: number } {
  const { forward, ops } = context;
  const { batch } = state;
  // After the last layer of a sequence classifier only first tokens are read, so only they count in its FFN.
  const lastFfn = step === 2 * pair.student.layers.length - 1 && pair.student.headDense !== null;
  const rows = lastFfn ? batch.firstRows : batch.tokenRows;
  const pick = (x: DeviceTensor) => (rows === null ? x : ops.gather(x, rows));
  // The FFN works row by row, so rows are picked before it; attention needs all of them.
  const early = step % 2 === 1;
  const student = early ? pick(state.student) : state.student;
  const teacher = early ? pick(state.teacher) : state.teacher;
  const found = features(forward, pair.student, step, student, batch);
  if (found === null) throw new EspalierError('internal', `sub-layer ${step}: got no features, expected some`);
  // The published target: the teacher's masks act on everything before an FFN, whose own neurons all count.
  const teaching = early ? pair.dense : pair.teacher;
  const taught = output(forward, teaching, step, features(forward, teaching, step, teacher, batch), teacher);
  const target = ops.sub(taught, base(forward, pair.student, step, student));
  const x = early ? found : pick(found);
  const r = early ? target : pick(target);
  const wide = ops.toFloat64(r);
  const parts = [
    ops.toFloat64(ops.matMul(x, x, true, false)),
    ops.toFloat64(ops.matMul(x, r, true, false)),
    ops.toFloat64(ops.sum(x, [0])),
    ops.sum64(wide, [0, 1]),
    ops.sum64(ops.mul(wide, wide), [0, 1]),
  ];
  return { parts, positions: x.shape[0] };
}

function packUpper(matrix: Float64Array, size: number): Float64Array {
  const packed = new Float64Array((size * (size + 1)) / 2);
  let offset = 0;
  for (let row = 0; row < size; row++) {
    packed.set(matrix.subarray(row * size + row, (row + 1) * size), offset);
    offset += size - row;
  }
  return packed;
}
