// Task "refit-equations": the sums of one sub-layer's output projection over some shards (equations: pruning/refit.ts).
import { refitSumsToTensors } from '../../pruning/refit-equations.ts';
import { stepOf } from '../../pruning/sub-layers.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { type RefitPlace, refitPair } from '../refit/refit-pair.ts';
import { type RefitSubLayer, refitSums } from '../refit/refit-positions.ts';
import { downloadRefitSums, refitForm } from '../refit/refit-sums.ts';
import { readWeightRoots, type TokenWeightsInput } from '../refit/token-weights.ts';
import { releaseSums } from '../tuning/device-sums.ts';
import { projection } from '../tuning/sub-layer.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface RefitTaskInput extends RefitPlace {
  /** null: every position counts 1. */
  readonly weights: TokenWeightsInput | null;
}

export interface RefitEquationsInput extends RefitTaskInput {
  readonly shards: ShardRange;
}

/** @returns the tensors that worker.proto names for RefitEquationsTask. */
export async function runRefitEquations(context: TaskContext, input: RefitEquationsInput): Promise<NamedTensor[]> {
  const { engine, ops } = context;
  const { shards } = input;
  const subLayer = await refitSubLayer(context, input, [shards]);
  return engine.scope(() => {
    const sums = refitSums(context, subLayer, shards);
    try {
      return refitSumsToTensors(downloadRefitSums(ops, sums, subLayer.form));
    } finally {
      releaseSums(engine, sums);
    }
  });
}

/** What the sums of a task's sub-layer share. @param summed shards that are summed here.
 * @throws EspalierError "protocol" for shards that the plan lacks; those of `refitPair` and `readWeightRoots`. */
export async function refitSubLayer(
  context: TaskContext,
  input: RefitTaskInput,
  summed: readonly ShardRange[],
): Promise<RefitSubLayer> {
  const { plan, layer, subLayer, weights } = input;
  for (const range of summed) shardsOf(plan, range);
  const step = stepOf(layer, subLayer);
  const pair = await refitPair(context, input);
  const { config, layers } = pair.teacher;
  const steps = 2 * layers.length;
  const roots = weights && (await readWeightRoots(weights, { plan, summed, step, steps }));
  const features = projection(pair.student, step)?.shape[0] ?? 0;
  return { pair, step, form: refitForm(context.ops, features, config.hiddenSize), roots };
}
