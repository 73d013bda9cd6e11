// Task "solve": the scales of one sub-layer from its sums (method: docs/method.md, "Tuning").
import { sumsFromTensors } from '../../pruning/normal-equations.ts';
import { stepOf } from '../../pruning/sub-layers.ts';
import { type ScaleSolution, solveScales, type TuningSettings } from '../../pruning/tuning.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { deviceAlgebra } from '../tuning/device-algebra.ts';
import { sumTensors } from '../tuning/device-sums.ts';
import { type DeviceSystem, makeSystems } from '../tuning/device-system.ts';
import { openManyStates } from '../tuning/given-states.ts';
import { uploadSums } from '../tuning/sums-transfer.ts';
import { statesKey } from '../tuning/tuning-pair.ts';
import { keptOrMade, projectionOf, type SummedSubLayer, type TuningInput, tuningPair } from './normal-equations.ts';
import { type SumSource, type SumTensors, sumsOfSource } from './sum-source.ts';
import type { ShardRange, TaskContext } from './task-context.ts';

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
      const sources = input.heldOut === null ? [input.fit] : [input.fit, input.heldOut];
      const [fit, heldOut = null] = systemsOf(context, summed, sources);
      const algebra = deviceAlgebra(context.forward, { checkCancelled: () => context.checkCancelled() });
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

function systemsOf(context: TaskContext, summed: SummedSubLayer, sources: readonly SumSource[]): DeviceSystem[] {
  const { engine, forward, ops } = context;
  const { projection } = summed;
  return engine.scope(() => {
    const sums = sources.map((source) => {
      const make = (shards: ShardRange) => keptOrMade(context, summed, shards);
      const upload = (tensors: SumTensors) => uploadSums(ops, sumsFromTensors(tensors), projection);
      const own = sumsOfSource(forward, source, make, upload);
      engine.adopt(sumTensors(own));
      return own;
    });
    return makeSystems(forward, sums, projection);
  });
}
