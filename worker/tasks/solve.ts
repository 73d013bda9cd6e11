// Task "solve": the scales of one sub-layer from its sums (method: docs/method.md, "Tuning").
import { type SubLayerSums, sumsFromTensors } from '../../pruning/normal-equations.ts';
import { solveScales, type TuningSettings } from '../../pruning/tuning.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { engineAlgebra } from '../engine/engine-algebra.ts';
import { projection, stepOf } from '../tuning/sub-layer.ts';
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
}

/** @returns "scales" F64 [kept], "report" U8: JSON of the rung taken and what was tried. */
export async function runSolve(context: TaskContext, input: SolveInput): Promise<NamedTensor[]> {
  const { engine, ops } = context;
  const fit = await sumsOf(context, input, input.fit);
  const heldOut = input.heldOut === null ? null : await sumsOf(context, input, input.heldOut);
  const pair = await tuningPair(context, input);
  const kernel = projection(pair.student, stepOf(input.layer, input.subLayer));
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

async function sumsOf(context: TaskContext, input: TuningInput, source: SumSource): Promise<SubLayerSums> {
  return source.kind === 'shards' ? subLayerSums(context, input, source.shards) : sumsFromTensors(source.tensors);
}
