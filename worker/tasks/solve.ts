// Task "solve": the scales of one sub-layer from its sums (method: docs/method.md, "Tuning").
import { sumsFromTensors } from '../../pruning/normal-equations.ts';
import { type ScaleSolution, solveScales, type TuningSettings } from '../../pruning/tuning.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { type DeviceSystem, deviceAlgebra, makeSystem } from '../tuning/device-algebra.ts';
import { releaseSums, uploadSums } from '../tuning/device-sums.ts';
import { openManyStates } from '../tuning/given-states.ts';
import { stepOf } from '../tuning/sub-layer.ts';
import { statesKey } from '../tuning/tuning-pair.ts';
import { projectionOf, type SummedSubLayer, subLayerSums, type TuningInput, tuningPair } from './normal-equations.ts';
import type { ShardRange, TaskContext } from './task-context.ts';

/** Sums to be made here from shards, or already folded: the tensors of a normal-equations result. */
export type SumSource =
  | { readonly kind: 'shards'; readonly shards: ShardRange }
  | { readonly kind: 'sums'; readonly tensors: ReadonlyMap<string, NamedTensor> };

export interface SolveInput extends TuningInput {
  readonly fit: SumSource;
  /** null: nothing is held out. */
  readonly heldOut: SumSource | null;
  readonly settings: TuningSettings;
  /** Files of states to start from where none are kept here; shards that they lack: from the embeddings. */
  readonly given?: readonly { readonly shards: ShardRange; readonly path: string }[];
}

/** @returns "scales" F64 [kept], "report" U8: JSON of the rung taken and what was tried. */
export async function runSolve(context: TaskContext, input: SolveInput): Promise<NamedTensor[]> {
  const { ops } = context;
  const pair = await tuningPair(context, input);
  const step = stepOf(input.layer, input.subLayer);
  const files = (input.given ?? []).map((file) => ({ ...file, key: statesKey(pair, step, file.shards) }));
  const { hiddenSize } = pair.student.config;
  const given = await openManyStates(files, { plan: input.plan, hiddenSize });
  let solution: ScaleSolution;
  try {
    solution = ops.engine.scope(() => {
      const summed = { pair, step, projection: projectionOf(context, pair, step), given: given.ofShard };
      const fit = systemOf(context, summed, input.fit);
      const heldOut = input.heldOut === null ? null : systemOf(context, summed, input.heldOut);
      const algebra = deviceAlgebra(ops, { checkCancelled: () => context.checkCancelled() });
      return solveScales({ fit, heldOut, settings: input.settings, algebra });
    });
  } finally {
    await given.close();
  }
  const { scales, ...report } = solution;
  const text = new TextEncoder().encode(JSON.stringify(report));
  return [
    { name: 'scales', dtype: 'F64', shape: [scales.length], data: scales },
    { name: 'report', dtype: 'U8', shape: [text.length], data: text },
  ];
}

function systemOf(context: TaskContext, summed: SummedSubLayer, source: SumSource): DeviceSystem {
  const { ops } = context;
  const { projection } = summed;
  const sums =
    source.kind === 'shards'
      ? subLayerSums(context, summed, source.shards)
      : uploadSums(ops, sumsFromTensors(source.tensors), projection);
  try {
    return makeSystem(ops, sums, projection);
  } finally {
    releaseSums(ops.engine, sums);
  }
}
