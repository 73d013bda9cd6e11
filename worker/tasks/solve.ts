// Task "solve": the scales of one sub-layer from its sums (method: docs/method.md, "Tuning").
import { type SubLayerSums, sumsFromTensors } from '../../pruning/normal-equations.ts';
import { solveScales, type TuningSettings } from '../../pruning/tuning.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { engineAlgebra } from '../engine/engine-algebra.ts';
import { openManyStates, type StatesOfShard } from '../tuning/given-states.ts';
import { projection, stepOf } from '../tuning/sub-layer.ts';
import { statesKey } from '../tuning/tuning-states.ts';
import { subLayerSums, type TuningInput, tuningPair } from './normal-equations.ts';
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
  const { engine, ops } = context;
  const pair = await tuningPair(context, input);
  const step = stepOf(input.layer, input.subLayer);
  const files = (input.given ?? []).map((file) => ({ ...file, key: statesKey(pair, step, file.shards) }));
  const { hiddenSize } = pair.student.config;
  const given = await openManyStates(files, { plan: input.plan, hiddenSize });
  let fit: SubLayerSums;
  let heldOut: SubLayerSums | null;
  try {
    fit = await sumsOf(context, input, input.fit, given.ofShard);
    heldOut = input.heldOut === null ? null : await sumsOf(context, input, input.heldOut, given.ofShard);
  } finally {
    await given.close();
  }
  const kernel = projection(pair.student, step);
  if (kernel === null)
    throw new EspalierError('protocol', `layer ${input.layer} ${input.subLayer}: got no kept variable, expected one`);
  const solution = solveScales({
    fit,
    heldOut,
    outputWeight: engine.scope(() => engine.downloadFloat64(ops.toFloat64(kernel))),
    blockSize: input.subLayer === 'ffn' ? 1 : pair.student.config.headSize,
    // A constant added to every coordinate is removed by the LayerNorm that follows attention's output and the FFN's
    // alike; the published method fits one for attention only.
    withOffset: input.subLayer === 'attention',
    settings: input.settings,
    algebra: engineAlgebra(ops, () => context.checkCancelled()),
  });
  const { scales, ...report } = solution;
  const text = new TextEncoder().encode(JSON.stringify(report));
  return [
    { name: 'scales', dtype: 'F64', shape: [scales.length], data: Float64Array.from(scales) },
    { name: 'report', dtype: 'U8', shape: [text.length], data: text },
  ];
}

async function sumsOf(
  context: TaskContext,
  input: TuningInput,
  source: SumSource,
  given: StatesOfShard,
): Promise<SubLayerSums> {
  return source.kind === 'shards'
    ? subLayerSums(context, input, source.shards, given)
    : sumsFromTensors(source.tensors);
}
