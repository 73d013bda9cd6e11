// Task "normal-equations": the sums of one sub-layer over some shards (method: docs/method.md, "Tuning").
import { createHash } from 'node:crypto';
import type { Plan } from '../../dataset/plan.ts';
import { foldTree } from '../../pruning/fold-tree.ts';
import type { Masks, SubLayer } from '../../pruning/masks.ts';
import { addSums, type SubLayerSums, sumsToTensors } from '../../pruning/normal-equations.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { LocalModel } from '../model/local-model.ts';
import { ModelCache, masksKey } from '../model/model-cache.ts';
import { openGivenStates, type StatesOfShard } from '../tuning/given-states.ts';
import { withoutScales } from '../tuning/scaled-student.ts';
import { base, features, normalize, output, projection, stepOf } from '../tuning/sub-layer.ts';
import { type Ahead, type BatchState, nextTeacher, statesKey, type TuningPair } from '../tuning/tuning-states.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

/** Positions that one float32 product sums over, at least: fewer would cost more in additions of float64 sums, more
 * would lose digits. Part of what makes results equal, like the plan. */
const PRODUCT_POSITIONS = 2048;

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
  /** File of the states to start from where none are kept here; null: from the embeddings. */
  readonly statesPath?: string | null;
}

/** @returns the tensors that worker.proto names for NormalEquationsTask. */
export async function runNormalEquations(context: TaskContext, input: NormalEquationsInput): Promise<NamedTensor[]> {
  const { statesPath = null, plan, shards } = input;
  if (statesPath === null) return sumsToTensors(await subLayerSums(context, input, shards));
  const pair = await tuningPair(context, input);
  const key = statesKey(pair, stepOf(input.layer, input.subLayer), shards);
  const { hiddenSize } = pair.student.config;
  const states = await openGivenStates(statesPath, { key, plan, shards, hiddenSize });
  try {
    return sumsToTensors(await subLayerSums(context, input, shards, states.ofShard));
  } finally {
    await states.close();
  }
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
  given?: StatesOfShard,
): Promise<SubLayerSums> {
  shardsOf(input.plan, shards);
  const pair = await tuningPair(context, input);
  const step = stepOf(input.layer, input.subLayer);
  return foldTree(shards.first, shards.end, (shard) => shardSums(context, pair, shard, step, given), addSums);
}

// Float32 products of a few thousand positions at a time, summed in float64 on the device.
function shardSums(
  context: TaskContext,
  pair: TuningPair,
  shard: number,
  step: number,
  given?: StatesOfShard,
): SubLayerSums {
  const { engine, states } = context;
  const width = projection(pair.student, step)?.shape[0] ?? 0;
  const { hiddenSize } = pair.student.config;
  if (width === 0) throw new EspalierError('protocol', `sub-layer ${step}: got no kept variable, expected one`);
  const waiting: Observations[] = [];
  let totals: DeviceTensor[] = [];
  let positions = 0;
  const flush = () => {
    const before = totals;
    totals = engine.scope(() => addProducts(context, before, waiting));
    engine.keep(totals);
    for (const tensor of [...before, ...waiting.splice(0).flatMap(({ x, r }) => [x, r])]) engine.dispose(tensor);
  };
  try {
    const use = (state: BatchState) => {
      context.checkCancelled();
      const { observations, ahead } = observe(context, pair, state, step);
      const { x, r } = observations;
      engine.keep([x, r]);
      waiting.push(observations);
      positions += x.shape[0];
      if (waiting.reduce((sum, found) => sum + found.x.shape[0], 0) >= PRODUCT_POSITIONS) flush();
      return ahead;
    };
    states.visit(pair, shard, step, use, given);
    if (waiting.length > 0) flush();
    const [gram, cross, featureSums, targetSum, targetSquares] = totals.map((total) =>
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
    for (const tensor of [...totals, ...waiting.flatMap(({ x, r }) => [x, r])]) engine.dispose(tensor);
  }
}

/** Positions of a micro-batch that count. */
interface Observations {
  /** Student's features, [positions, features]. */
  readonly x: DeviceTensor;
  /** What they should add up to: the teacher's output less the student's bias and residual, [positions, D]. */
  readonly r: DeviceTensor;
}

function observe(
  context: TaskContext,
  pair: TuningPair,
  { batch, student, teacher }: BatchState,
  step: number,
): { observations: Observations; ahead: Ahead | null } {
  const { forward, ops } = context;
  const ffn = step % 2 === 1;
  // The published target: the teacher's masks act on everything before an FFN, whose own neurons all count.
  const teaching = ffn ? pair.dense : pair.teacher;
  // After the last layer of a sequence classifier only first tokens are read, so only they count in its FFN.
  if (step === 2 * pair.student.layers.length - 1 && pair.student.headDense !== null) {
    const [own, taught] = [student, teacher].map((x) => ops.gather(x, batch.firstRows));
    const x = present(features(forward, pair.student, step, own, batch), step);
    const target = output(forward, teaching, step, features(forward, teaching, step, taught, batch), taught);
    return { observations: { x, r: ops.sub(target, base(forward, pair.student, step, own)) }, ahead: null };
  }
  const pick = (x: DeviceTensor) => (batch.tokenRows === null ? x : ops.gather(x, batch.tokenRows));
  const found = present(features(forward, pair.student, step, student, batch), step);
  const target = output(forward, teaching, step, features(forward, teaching, step, teacher, batch), teacher);
  const r = pick(ops.sub(target, base(forward, pair.student, step, student)));
  const next = ffn ? nextTeacher(forward, pair, step, teacher, batch) : normalize(forward, pair.teacher, step, target);
  // A tensor has one owner: where all rows count, the features are waiting for their product already.
  const x = batch.tokenRows === null ? ops.copy(found) : pick(found);
  return { observations: { x, r }, ahead: { features: found, teacher: next } };
}

function present(found: DeviceTensor | null, step: number): DeviceTensor {
  if (found === null) throw new EspalierError('internal', `sub-layer ${step}: got no features, expected some`);
  return found;
}

// XᵀX, XᵀR, column sums of X, sum of R and of R², float64, added to `totals` where there are some.
function addProducts(
  { ops }: TaskContext,
  totals: readonly DeviceTensor[],
  waiting: readonly Observations[],
): DeviceTensor[] {
  const x = ops.concat(
    waiting.map((found) => found.x),
    0,
  );
  const r = ops.concat(
    waiting.map((found) => found.r),
    0,
  );
  const wide = ops.toFloat64(r);
  const sums = [
    ops.toFloat64(ops.matMul(x, x, true, false)),
    ops.toFloat64(ops.matMul(x, r, true, false)),
    ops.toFloat64(ops.sum(x, [0])),
    ops.sum64(wide, [0, 1]),
    ops.sum64(ops.mul(wide, wide), [0, 1]),
  ];
  return totals.length === 0 ? sums : sums.map((sum, i) => ops.add(totals[i], sum));
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
