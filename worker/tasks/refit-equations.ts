// Task "refit-equations": the sums of some projections of one sub-layer over some shards (equations: pruning/refit.ts).
import type { RefitPart } from '../../pruning/refit-part.ts';
import { stepOf } from '../../pruning/sub-layers.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { inputSubject } from '../refit/input-subject.ts';
import { outputSubject } from '../refit/output-subject.ts';
import { type RefitPlace, refitPair } from '../refit/refit-pair.ts';
import type { RefitSubject } from '../refit/refit-subject.ts';
import { readWeightRoots, type TokenWeightsInput, uploadRoots, type WeightRoots } from '../refit/token-weights.ts';
import { releaseSums } from '../tuning/device-sums.ts';
import { sumsKey } from '../tuning/kept-sums.ts';
import { withoutScales } from '../tuning/scaled-student.ts';
import { type ShardRange, shardsOf, type TaskContext } from './task-context.ts';

export interface RefitTaskInput extends RefitPlace {
  readonly part: RefitPart;
  /** null: every position counts 1. */
  readonly weights: TokenWeightsInput | null;
}

export interface RefitEquationsInput extends RefitTaskInput {
  readonly shards: ShardRange;
  /** The sums stay here for the refit of these shards; nothing is returned. */
  readonly stays?: boolean;
}

/** @returns the tensors that worker.proto names for RefitEquationsTask. */
export async function runRefitEquations(context: TaskContext, input: RefitEquationsInput): Promise<NamedTensor[]> {
  const { engine, ops, states } = context;
  const { shards } = input;
  const { subject, nameOf, roots } = await refitSubject(context, input, [shards]);
  return engine.scope(() => {
    const sums = subject.sums(shards, roots && uploadRoots(ops, roots));
    if (input.stays) {
      states.sums.put(...nameOf(shards), sums);
      return [];
    }
    try {
      return subject.toTensors(sums);
    } finally {
      releaseSums(engine, sums);
    }
  });
}

/** What a task fits, and what its sums are kept by: names of all that they depend on but shards, and of a node with its weights
 * (kept-sums.ts). */
export interface KeptSubject {
  readonly subject: RefitSubject;
  /** Of all shards that are summed here; null: every position counts 1. */
  readonly roots: WeightRoots | null;
  nameOf(shards: ShardRange): readonly [subLayer: string, node: string];
}

/** Reads weights when they are first asked for. @param summed shards that are summed here.
 * @returns what throws as `readWeightRoots` does. */
export function weightRoots(input: RefitTaskInput, summed: readonly ShardRange[]): () => WeightRoots | null {
  const { plan, student, layer, subLayer, weights } = input;
  const place = { plan, summed, step: stepOf(layer, subLayer), steps: 2 * student.masks.layers };
  let roots: WeightRoots | null = null;
  return () => {
    roots ??= weights && readWeightRoots(weights, place);
    return roots;
  };
}

/** What a task fits. @param summed shards that are summed here. @param roots of `weightRoots`.
 * @throws EspalierError "protocol" for shards that the plan lacks; those of `refitPair`, `roots` and `inputSubject`. */
export async function refitSubject(
  context: TaskContext,
  input: RefitTaskInput,
  summed: readonly ShardRange[],
  roots = weightRoots(input, summed),
): Promise<KeptSubject> {
  const { model, plan, student, layer, subLayer, part, weights } = input;
  for (const range of summed) shardsOf(plan, range);
  const step = stepOf(layer, subLayer);
  const pair = await refitPair(context, input);
  const positions = { pair, step };
  const subject =
    part === 'output'
      ? outputSubject(context, positions)
      : inputSubject(context, positions, part, await context.models.pruned(model, withoutScales(student.masks)));
  const key = `${sumsKey(pair, step)}/${part}`;
  return { subject, roots: roots(), nameOf: (shards) => [key, nodeName(weights, shards)] };
}

/** Weights lie in files that are named by their content. */
function nodeName(weights: TokenWeightsInput | null, { first, end }: ShardRange): string {
  const own = weights?.files.filter(({ shards }) => shards.first < end && shards.end > first) ?? [];
  return [`${first}-${end}`, weights?.mean, ...own.map(({ path }) => path)].join();
}
