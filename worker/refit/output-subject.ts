// The output projection of a sub-layer as what is refitted: from the student's features with a column of ones to what they should
// add up to (equations: pruning/refit.ts).
import { refitSumsFromTensors, refitSumsToTensors } from '../../pruning/refit-equations.ts';
import { subLayerOf } from '../../pruning/sub-layers.ts';
import { alignedColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { ACTIVATION_SCALES } from '../engine/kernels/activation-scales.ts';
import type { Ops } from '../engine/ops.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { TaskContext } from '../tasks/task-context.ts';
import type { Observations } from '../tuning/shard-sums.ts';
import { contribution, featureCount, features, keptProjection, nextStates } from '../tuning/sub-layer.ts';
import type { Ahead } from '../tuning/tuning-states.ts';
import { currentProjection } from './refit-algebra.ts';
import {
  type RefitPositions,
  type RefitSubject,
  readsFirst,
  type StretchPositions,
  sumsOverShards,
} from './refit-subject.ts';
import { downloadRefitSums, refitForm, refitTerms, sumRows, uploadRefitSums } from './refit-sums.ts';

export function outputSubject(context: TaskContext, positions: RefitPositions): RefitSubject {
  const { ops } = context;
  const { pair, step } = positions;
  const { config } = pair.student;
  const { hiddenSize } = config;
  const form = refitForm(ops, featureCount(pair.student, step), hiddenSize);
  const observe = (stretch: StretchPositions) => observeOutputs(context, positions, stretch);
  const sum = (rows: Observations) => sumRows(context.forward, rows, form, () => context.checkCancelled());
  return {
    sums: (range) => sumsOverShards(context, positions, range, observe, sum),
    toTensors: (sums) => refitSumsToTensors(downloadRefitSums(ops, sums, form)),
    fromTensors: (tensors) => uploadRefitSums(ops, refitSumsFromTensors(tensors, hiddenSize), form),
    current() {
      const kernel = keptProjection(ops, pair.student, step);
      const bias = ops.reshape(biasOf(pair.student, step), [1, -1]);
      return currentProjection(ops, kernel && ops.toFloat64(kernel), ops.toFloat64(bias));
    },
    terms: (sums) => refitTerms(ops, sums),
    stored(whole) {
      // What weights on the device carry beside those of the checkpoint (encoder-weights.ts).
      const factor = step % 2 === 0 ? 1 : ACTIVATION_SCALES[config.activation].output;
      const values = ops.engine.downloadFloat32(inStoredUnits(ops, whole, factor));
      const { features: count } = form;
      const [weight, bias] = [values.slice(0, count * hiddenSize), values.slice(count * hiddenSize)];
      return [
        { name: 'weight', dtype: 'F32', shape: [count, hiddenSize], data: weight },
        { name: 'bias', dtype: 'F32', shape: [hiddenSize], data: bias },
      ];
    },
  };
}

function observeOutputs(
  { forward, ops, states }: TaskContext,
  { pair, step }: RefitPositions,
  { state: { stretch, student, teacher }, roots, name }: StretchPositions,
): { observations: Observations; ahead: Ahead | null } {
  const { teacher: dense, student: pruned } = pair;
  const { layer, subLayer } = subLayerOf(step);
  // After the last layer of a sequence classifier only first tokens are read. Its FFN is computed for them alone; its attention,
  // whose other outputs the states after it have, for all.
  const isFirst = readsFirst(pair, layer);
  const isFfn = subLayer === 'ffn';
  const counting = (x: DeviceTensor) => (isFirst ? ops.gather(x, stretch.firstPositions) : x);
  const [own, taught] = isFfn ? [counting(student), counting(teacher)] : [student, teacher];
  const found = features(forward, pruned, step, own, stretch);
  const added = states.teacherOutput(pair, name, () =>
    contribution(forward, dense, step, features(forward, dense, step, taught, stretch)),
  );
  const rowsOf = (x: DeviceTensor) => (isFfn ? x : counting(x));
  const count = featureCount(pruned, step);
  const observations = forward.kernels.refitRows(
    { features: found && rowsOf(found), count, columns: alignedColumns(ops.engine, count + 1) },
    { added: added && rowsOf(added), taught: rowsOf(taught), own: rowsOf(own), bias: biasOf(dense, step) },
    roots && counting(roots),
  );
  if (isFirst && isFfn) return { observations, ahead: null };
  const ahead = { features: found, teacher: nextStates(forward, dense, step, added, taught) };
  return { observations, ahead };
}

/** Bias of the output projection, [D]. */
function biasOf(weights: EncoderWeights, step: number): DeviceTensor {
  const { layer, subLayer } = subLayerOf(step);
  const { attentionBias, ffnBias } = weights.layers[layer];
  return subLayer === 'ffn' ? ffnBias : attentionBias;
}

/** A projection [features + 1, D] in the checkpoint's units, as float32; its last row, the bias, has no factor. */
function inStoredUnits(ops: Ops, whole: DeviceTensor, factor: number): DeviceTensor {
  if (factor === 1) return ops.toFloat32(whole);
  const [size] = whole.shape;
  const factors = Float64Array.from({ length: size }, (_, row) => (row < size - 1 ? factor : 1));
  return ops.toFloat32(ops.div(whole, ops.engine.uploadFloat64(factors, [size, 1])));
}
