// Task "normal-equations": the sums of one sub-layer over some shards (method: docs/method.md, "Tuning").
import { createHash } from 'node:crypto';
import type { Plan } from '../../dataset/plan.ts';
import type { Masks, SubLayer } from '../../pruning/masks.ts';
import { sumsToTensors } from '../../pruning/normal-equations.ts';
import { stepOf } from '../../pruning/sub-layers.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { LocalModel } from '../model/local-model.ts';
import { ModelCache, masksKey } from '../model/model-cache.ts';
import { type DeviceSums, foldShards, releaseSums, sumPositions } from '../tuning/device-sums.ts';
import { openGivenStates, type StatesOfShard } from '../tuning/given-states.ts';
import { sumsKey } from '../tuning/kept-sums.ts';
import { makeProjection, type Projection } from '../tuning/output-projection.ts';
import { withoutScales } from '../tuning/scaled-student.ts';
import { type Observations, shardSums } from '../tuning/shard-sums.ts';
import { contribution, features, keptProjection, nextStates, projection } from '../tuning/sub-layer.ts';
import { downloadSums } from '../tuning/sums-transfer.ts';
import { restOfTeacher } from '../tuning/teacher-rest.ts';
import { statesKey, type TuningPair } from '../tuning/tuning-pair.ts';
import type { Ahead, StretchState } from '../tuning/tuning-states.ts';
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
  /** File of the states to start from where none are kept here; null: from the embeddings. */
  readonly statesPath?: string | null;
  /** The sums stay here for the solve of these shards; nothing is returned. */
  readonly stays?: boolean;
}

/** A sub-layer whose sums are made, with what all of its sums share. */
export interface SummedSubLayer {
  readonly pair: TuningPair;
  readonly step: number;
  readonly projection: Projection;
  /** States to start from where none are kept here. */
  readonly given?: StatesOfShard | undefined;
}

/** @returns the tensors that worker.proto names for NormalEquationsTask. */
export async function runNormalEquations(context: TaskContext, input: NormalEquationsInput): Promise<NamedTensor[]> {
  const { statesPath = null, plan, shards } = input;
  shardsOf(plan, shards);
  const pair = await tuningPair(context, input);
  const step = stepOf(input.layer, input.subLayer);
  const sumsFrom = (given?: StatesOfShard) =>
    context.engine.scope(() => {
      const projection = projectionOf(context, pair, step);
      const sums = subLayerSums(context, { pair, step, projection, given }, shards);
      if (input.stays) {
        context.states.sums.put(sumsKey(pair, step), nodeName(shards), sums);
        return [];
      }
      try {
        return sumsToTensors(downloadSums(context.ops, sums, projection));
      } finally {
        releaseSums(context.engine, sums);
      }
    });
  if (statesPath === null) return sumsFrom();
  const { hiddenSize } = pair.student.config;
  const states = await openGivenStates(statesPath, { key: statesKey(pair, step, shards), plan, shards, hiddenSize });
  try {
    return sumsFrom(states.ofShard);
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
    teacher: await context.models.pruned(input.model, input.teacher),
    rest: await context.models.pruned(input.model, restOfTeacher(input.teacher)),
    student: await context.models.pruned(input.model, withoutScales(input.student)),
    masks: input.student,
    patches: [],
  };
}

/** The student's output projection of a sub-layer. It stays the context's.
 * @throws EspalierError "protocol" where the student keeps nothing there. */
export function projectionOf(context: TaskContext, pair: TuningPair, step: number): Projection {
  if (projection(pair.student, step) === null)
    throw new EspalierError('protocol', `sub-layer ${step}: got no kept variable, expected one`);
  const isAttention = step % 2 === 0;
  // A constant added to every coordinate is removed by the LayerNorm that follows attention's output and the FFN's
  // alike; the published method fits one for attention only.
  const form = { blockSize: isAttention ? pair.student.config.headSize : 1, withOffset: isAttention };
  const { engine, ops } = context;
  return context.states.projection(pair, step, () =>
    engine.scope(() => {
      const kernel = keptProjection(ops, pair.student, step)!;
      return makeProjection(ops, kernel, form, () => context.checkCancelled());
    }),
  );
}

/** Sums of shards that have stayed here, or made now. The caller releases them. */
export function keptOrMade(context: TaskContext, summed: SummedSubLayer, shards: ShardRange): DeviceSums {
  const kept = context.states.sums.take(sumsKey(summed.pair, summed.step), nodeName(shards));
  return kept ?? subLayerSums(context, summed, shards);
}

function nodeName({ first, end }: ShardRange): string {
  return `${first}-${end}`;
}

/** Sums over a node of the plan's tree, folded in the tree's order. The caller releases them. */
function subLayerSums(context: TaskContext, summed: SummedSubLayer, shards: ShardRange): DeviceSums {
  shardsOf(summed.pair.plan, shards);
  const { pair, step, projection, given } = summed;
  return foldShards(context.forward, shards, (shard) =>
    shardSums(
      context,
      { pair, step, shard, given },
      (state) => observe(context, pair, state, step),
      (observations) => sumPositions(context.forward, observations, projection, () => context.checkCancelled()),
    ),
  );
}

function observe(
  context: TaskContext,
  pair: TuningPair,
  { stretch, student, teacher }: StretchState,
  step: number,
): { observations: Observations; ahead: Ahead | null } {
  const { forward, ops } = context;
  // After the last layer of a sequence classifier only first tokens are read, so only they count in its FFN.
  const isLast = step === 2 * pair.student.layers.length - 1 && pair.student.headDense !== null;
  const [own, taught] = isLast
    ? [student, teacher].map((x) => ops.gather(x, stretch.firstPositions))
    : [student, teacher];
  const found = present(features(forward, pair.student, step, own, stretch), step);
  const added = (weights: EncoderWeights) =>
    contribution(forward, weights, step, features(forward, weights, step, taught, stretch));
  const ofTeacher = added(pair.teacher);
  // The published target: the teacher's masks act on everything before an FFN, whose own neurons all count. The bias is the
  // same on both sides.
  const terms = [ops.sub(taught, own), ofTeacher, added(pair.rest)].filter((term) => term !== null);
  const observations = { x: found, r: terms.length === 1 ? terms[0] : ops.addN(terms) };
  if (isLast) return { observations, ahead: null };
  return {
    observations,
    ahead: { features: found, teacher: nextStates(forward, pair.teacher, step, ofTeacher, taught) },
  };
}

function present(found: DeviceTensor | null, step: number): DeviceTensor {
  if (found === null) throw new EspalierError('internal', `sub-layer ${step}: got no features, expected some`);
  return found;
}
