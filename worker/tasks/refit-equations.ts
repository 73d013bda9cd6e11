// Task "refit-equations": the sums of some projections of one sub-layer over some shards (equations: pruning/refit.ts).
import type { RefitPart } from '../../pruning/refit-part.ts';
import { stepOf } from '../../pruning/sub-layers.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { inputSubject } from '../refit/input-subject.ts';
import { outputSubject } from '../refit/output-subject.ts';
import { type RefitPlace, refitPair } from '../refit/refit-pair.ts';
import type { RefitSubject } from '../refit/refit-subject.ts';
import { readWeightRoots, type TokenWeightsInput } from '../refit/token-weights.ts';
import { releaseSums } from '../tuning/device-sums.ts';
import { withoutScales } from '../tuning/scaled-student.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface RefitTaskInput extends RefitPlace {
  readonly part: RefitPart;
  /** null: every position counts 1. */
  readonly weights: TokenWeightsInput | null;
}

export interface RefitEquationsInput extends RefitTaskInput {
  readonly shards: ShardRange;
}

/** @returns the tensors that worker.proto names for RefitEquationsTask. */
export async function runRefitEquations(context: TaskContext, input: RefitEquationsInput): Promise<NamedTensor[]> {
  const { engine } = context;
  const { shards } = input;
  const subject = await refitSubject(context, input, [shards]);
  return engine.scope(() => {
    const sums = subject.sums(shards);
    try {
      return subject.toTensors(sums);
    } finally {
      releaseSums(engine, sums);
    }
  });
}

/** What a task fits. @param summed shards that are summed here.
 * @throws EspalierError "protocol" for shards that the plan lacks; those of `refitPair`, `readWeightRoots` and `inputSubject`. */
export async function refitSubject(
  context: TaskContext,
  input: RefitTaskInput,
  summed: readonly ShardRange[],
): Promise<RefitSubject> {
  const { model, plan, student, layer, subLayer, part, weights } = input;
  for (const range of summed) shardsOf(plan, range);
  const step = stepOf(layer, subLayer);
  const pair = await refitPair(context, input);
  const steps = 2 * pair.teacher.layers.length;
  const roots = weights && (await readWeightRoots(weights, { plan, summed, step, steps }));
  const positions = { pair, step, roots };
  if (part === 'output') return outputSubject(context, positions);
  return inputSubject(context, positions, part, await context.models.pruned(model, withoutScales(student.masks)));
}
