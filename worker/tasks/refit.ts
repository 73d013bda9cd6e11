// Task "refit": one sub-layer's output projection, fitted anew to what the dense model puts out (equations: pruning/refit.ts).
import { type RefitSettings, refitProjection } from '../../pruning/refit.ts';
import { refitSumsFromTensors } from '../../pruning/refit-equations.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { ACTIVATION_SCALES } from '../engine/kernels/activation-scales.ts';
import type { Ops } from '../engine/ops.ts';
import { currentProjection, makeRefits, refitAlgebra } from '../refit/refit-algebra.ts';
import { biasOf, type RefitSubLayer, refitSums } from '../refit/refit-positions.ts';
import { uploadRefitSums } from '../refit/refit-sums.ts';
import { type DeviceSums, releaseSums } from '../tuning/device-sums.ts';
import { projection } from '../tuning/sub-layer.ts';
import { type RefitTaskInput, refitSubLayer } from './refit-equations.ts';
import type { SumSource } from './solve.ts';
import type { TaskContext } from './task-context.ts';

export interface RefitInput extends RefitTaskInput {
  readonly fit: SumSource;
  /** null: nothing is held out. */
  readonly heldOut: SumSource | null;
  readonly settings: RefitSettings;
}

/** @returns "weight" F32 [features, D] and "bias" F32 [D] in the checkpoint's units, "report" U8: JSON of the rung taken and what
 * was tried. A projection that stays as it is has the bits that load as what the student has. */
export async function runRefit(context: TaskContext, input: RefitInput): Promise<NamedTensor[]> {
  const { engine, ops } = context;
  const { fit, heldOut, settings } = input;
  const sources = heldOut === null ? [fit] : [fit, heldOut];
  const summed = sources.flatMap((source) => (source.kind === 'shards' ? [source.shards] : []));
  const subLayer = await refitSubLayer(context, input, summed);
  const { pair, step } = subLayer;
  const checkCancelled = () => context.checkCancelled();
  const { values, report } = engine.scope(() => {
    const current = currentProjection(ops, projection(pair.student, step), biasOf(pair.student, step));
    const [fitted, judge = null] = refitsOf(context, subLayer, sources);
    const algebra = refitAlgebra(ops, current, checkCancelled);
    const found = refitProjection({ fit: fitted, heldOut: judge, settings, algebra });
    const whole = found.projection ?? current.whole;
    return { values: engine.downloadFloat32(stored(ops, whole, storedFactor(subLayer))), report: found.report };
  });
  const { features, hiddenSize } = subLayer.form;
  const text = new TextEncoder().encode(JSON.stringify(report));
  const [weight, bias] = [values.slice(0, features * hiddenSize), values.slice(features * hiddenSize)];
  return [
    { name: 'weight', dtype: 'F32', shape: [features, hiddenSize], data: weight },
    { name: 'bias', dtype: 'F32', shape: [hiddenSize], data: bias },
    { name: 'report', dtype: 'U8', shape: [text.length], data: text },
  ];
}

function refitsOf(context: TaskContext, subLayer: RefitSubLayer, sources: readonly SumSource[]) {
  const { engine, ops } = context;
  const { hiddenSize } = subLayer.form;
  const sums: DeviceSums[] = [];
  try {
    for (const source of sources)
      sums.push(
        source.kind === 'shards'
          ? refitSums(context, subLayer, source.shards)
          : uploadRefitSums(ops, refitSumsFromTensors(source.tensors, hiddenSize), subLayer.form),
      );
    return makeRefits(ops, sums);
  } finally {
    for (const own of sums) releaseSums(engine, own);
  }
}

/** What weights on the device carry beside those of the checkpoint (encoder-weights.ts). */
function storedFactor({ pair, step }: RefitSubLayer): number {
  return step % 2 === 0 ? 1 : ACTIVATION_SCALES[pair.student.config.activation].output;
}

/** A projection [features + 1, D] in the checkpoint's units, as float32; its last row, the bias, has no factor. */
function stored(ops: Ops, whole: DeviceTensor, factor: number): DeviceTensor {
  if (factor === 1) return ops.toFloat32(whole);
  const [size] = whole.shape;
  const factors = Float64Array.from({ length: size }, (_, row) => (row < size - 1 ? factor : 1));
  return ops.toFloat32(ops.div(whole, ops.engine.uploadFloat64(factors, [size, 1])));
}
