// The output projection of a sub-layer as what is refitted: from the student's features with a column of ones to what they should
// add up to (equations: pruning/refit.ts).
import { refitSumsFromTensors, refitSumsToTensors } from '../../pruning/refit-equations.ts';
import { subLayerOf } from '../../pruning/sub-layers.ts';
import { alignedColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import { ACTIVATION_SCALES } from '../engine/kernels/activation-scales.ts';
import type { EncoderWeights } from '../model/encoder-weights.ts';
import type { TaskContext } from '../tasks/task-context.ts';
import type { Observations } from '../tuning/shard-sums.ts';
import { contribution, featureCount, features, keptProjection, nextStates } from '../tuning/sub-layer.ts';
import type { Ahead } from '../tuning/tuning-states.ts';
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
    sums: (range, roots) => sumsOverShards(context, positions, { range, roots }, observe, sum),
    toTensors: (sums) => refitSumsToTensors(downloadRefitSums(ops, sums, form)),
    fromTensors: (tensors) => uploadRefitSums(ops, refitSumsFromTensors(tensors, hiddenSize), form),
    current() {
      const kernel = keptProjection(ops, pair.student, step);
      const bias = ops.reshape(biasOf(pair.student, step), [1, -1]);
      return ops.toFloat64(kernel === null ? bias : ops.concat([kernel, bias], 0));
    },
    terms: (sums) => refitTerms(context.forward, sums),
    stored(whole) {
      // What weights on the device carry beside those of the checkpoint (encoder-weights.ts).
      const factor = step % 2 === 0 ? 1 : ACTIVATION_SCALES[config.activation].output;
      const parts = (x: DeviceTensor) => ops.split(x, [form.features, 1], 0);
      if (factor === 1) {
        const [weight, bias] = parts(ops.toFloat32(whole));
        return { weight, bias };
      }
      const [weight, bias] = parts(whole);
      return { weight: ops.toFloat32(ops.div(weight, ops.engine.scalar64(factor))), bias: ops.toFloat32(bias) };
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
