// Input projections of a sub-layer as what is refitted: from the student's input of the sub-layer to what the dense model's own
// projections of the kept rows make of its input (equations: pruning/input-equations.ts, pruning/refit.ts).
import {
  type InputSums,
  inputColumns,
  inputSumsFromTensors,
  inputSumsToTensors,
} from '../../pruning/input-equations.ts';
import type { SubLayer } from '../../pruning/masks.ts';
import { type InputPart, projectionsOf } from '../../pruning/refit-part.ts';
import { subLayerOf } from '../../pruning/sub-layers.ts';
import { EspalierError } from '../../shared/errors.ts';
import { alignedColumns, firstColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import { type EncoderWeights, inputFactors, type Linear } from '../model/encoder-weights.ts';
import type { Forward } from '../model/forward.ts';
import type { TaskContext } from '../tasks/task-context.ts';
import { type DeviceSums, gramPanels, panelSizes } from '../tuning/device-sums.ts';
import { panelRows, type Rows } from '../tuning/output-projection.ts';
import type { Observations } from '../tuning/shard-sums.ts';
import type { RefitTerms } from './refit-algebra.ts';
import {
  type RefitPositions,
  type RefitSubject,
  readsFirst,
  type StoredProjection,
  type StretchPositions,
  sumsOverShards,
} from './refit-subject.ts';
import { panelsLength, uploadPanels } from './refit-sums.ts';

/** @param kept the dense model's weights that masks keep: rows of its projections.
 * @throws EspalierError "protocol" for a part that the sub-layer lacks, and where nothing of it is kept. */
export function inputSubject(
  context: TaskContext,
  positions: RefitPositions,
  part: InputPart,
  kept: EncoderWeights,
): RefitSubject {
  const { forward, ops } = context;
  const { pair, step } = positions;
  const { layer, subLayer } = subLayerOf(step);
  const { config } = pair.student;
  const { hiddenSize } = config;
  const name = `inputs of layer ${layer} ${subLayer}`;
  if (part !== 'input' && subLayer === 'ffn')
    throw new EspalierError('protocol', `${name}: got part "${part}", expected "input"`);
  const linearOf = ({ layers }: EncoderWeights) =>
    subLayer === 'ffn' ? layers[layer].ffnIn : layers[layer].attentionIn;
  const [own, taught] = [linearOf(pair.student), linearOf(kept)];
  if (own === null || taught === null)
    throw new EspalierError('protocol', `${name}: got masks that keep nothing there, expected something`);
  // Without the columns that fill up an FFN's.
  const keptInputs = ({ kernel, bias }: Linear): Linear => {
    if (subLayer === 'attention') return { kernel, bias };
    const { neurons } = pair.student.layers[layer];
    const biases = firstColumns(ops, ops.reshape(bias, [1, -1]), neurons);
    return { kernel: firstColumns(ops, kernel, neurons), bias: ops.reshape(biases, [neurons]) };
  };
  const columns = columnsOf(part, subLayer, inputFactors(config, subLayer));
  const rows = panelRows(ops, inputColumns(hiddenSize));
  // First tokens alone ask in the last layer of a sequence classifier, and go through its FFN.
  const isFirst = readsFirst(pair, layer) && (subLayer === 'ffn' || part === 'query');
  const observe = (stretch: StretchPositions) => observeInputs(context, stretch, isFirst);
  const sum = (both: Observations) => sumInputs(forward, both, rows, () => context.checkCancelled());
  return {
    sums: (range, roots) => sumsOverShards(context, positions, { range, roots }, observe, sum),
    toTensors: (sums) => inputSumsToTensors(downloadInputSums(ops, sums, hiddenSize)),
    fromTensors: (tensors) => uploadInputSums(ops, inputSumsFromTensors(tensors, hiddenSize), rows),
    current: () => projectionOf(ops, keptInputs(own), columns),
    terms: (sums) => {
      context.checkCancelled();
      return inputTerms(forward, sums, projectionOf(ops, keptInputs(taught), columns));
    },
    stored: (whole) => storedRows(ops, whole),
  };
}

/** Which of the projections that lie side by side, of so many, and what they carry beside the checkpoint's weights. */
interface Columns {
  readonly first: number;
  readonly of: number;
  readonly factors: readonly number[];
}

function columnsOf(part: InputPart, subLayer: SubLayer, factors: readonly number[]): Columns {
  // Keys and values come after queries.
  const first = part === 'key_value' ? 1 : 0;
  return { first, of: factors.length, factors: factors.slice(first, first + projectionsOf(part, subLayer)) };
}

/** Float64 in the checkpoint's units, so that errors of all projections count as the model has them: [D + 1, outputs], the bias last. */
function projectionOf(ops: Ops, { kernel, bias }: Linear, { first, of, factors }: Columns): DeviceTensor {
  const [, all] = kernel.shape;
  const width = all / of;
  const count = factors.length * width;
  const units = factors.every((factor) => factor === 1)
    ? null
    : ops.engine.uploadFloat64(
        Float64Array.from({ length: count }, (_, column) => factors[Math.floor(column / width)]),
        [1, count],
      );
  const whole = ops.concat([kernel, ops.reshape(bias, [1, all])], 0);
  const own = ops.toFloat64(count === all ? whole : ops.slice(whole, [0, first * width], [-1, count]));
  return units === null ? own : ops.div(own, units);
}

function observeInputs(
  { forward, ops }: TaskContext,
  { state: { stretch, student, teacher }, roots }: StretchPositions,
  isFirst: boolean,
): { observations: Observations; ahead: null } {
  const counting = (x: DeviceTensor) => (isFirst ? ops.gather(x, stretch.firstPositions) : x);
  const features = counting(student);
  const [, count] = features.shape;
  const observations = forward.kernels.refitRows(
    { features, count, columns: count + 1 },
    { added: null, taught: counting(teacher), own: null, bias: null },
    roots && counting(roots),
  );
  return { observations, ahead: null };
}

/** Float32 products that are rounded once and go on in float64. @param x [X, 1] and @param r X̄, of weighted rows. */
function sumInputs(
  { kernels, ops }: Forward,
  { x, r }: Observations,
  rows: readonly Rows[],
  checkCancelled: () => void,
): DeviceSums {
  return ops.engine.scope(() => {
    const grams = gramPanels(ops, alignedRows(ops, [x, r]), rows, checkCancelled);
    const matrices = kernels.systems.widen(grams, panelSizes(rows), null);
    return { matrices, halfSquares: null, positions: x.shape[0] };
  });
}

/** Tensors [rows, columns] side by side, with columns of 0 after them where that makes products faster. */
function alignedRows(ops: Ops, parts: readonly DeviceTensor[]): DeviceTensor {
  const columns = parts.reduce((sum, { shape }) => sum + shape[1], 0);
  const fill = alignedColumns(ops.engine, columns) - columns;
  return ops.concat(fill === 0 ? parts : [...parts, ops.filled([parts[0].shape[0], fill], 0)], 1);
}

/** The system of projections, and the squares of their targets, as blocks of ZᵀΩZ (pruning/input-equations.ts).
 * @param taught K with its bias last, [D + 1, outputs]. */
function inputTerms(
  { kernels: { systems }, ops }: Forward,
  { matrices, positions }: DeviceSums,
  taught: DeviceTensor,
): RefitTerms {
  const gram = systems.wholeMatrix(matrices);
  const [size] = taught.shape;
  // In Z the ones come before X̄.
  const kernel = ops.concat([ops.slice(taught, [size - 1, 0], [1, -1]), ops.slice(taught, [0, 0], [size - 1, -1])], 0);
  const block = (row: number, column: number) => ops.slice(gram, [row, column], [size, size]);
  const squares = ops.mul(block(size - 1, size - 1), ops.matMul(kernel, kernel, false, true));
  const half = ops.engine.scalar64(0.5);
  return {
    matrix: block(0, 0),
    right: ops.matMul(block(0, size - 1), kernel),
    halfSquares: ops.mul(ops.sum64(squares, [0, 1]), half),
    positions,
  };
}

function downloadInputSums(ops: Ops, { matrices, positions }: DeviceSums, hiddenSize: number): InputSums {
  const parts = matrices.map((part) => ops.reshape(part, [-1]));
  return { hiddenSize, gram: ops.engine.downloadFloat64(ops.concat(parts, 0)), positions };
}

function uploadInputSums(ops: Ops, { hiddenSize, gram, positions }: InputSums, rows: readonly Rows[]): DeviceSums {
  const size = inputColumns(hiddenSize);
  const length = panelsLength(rows, size);
  if (gram.length !== length)
    throw new EspalierError('shape_mismatch', `input sums: got ${gram.length} elements, expected ${length}`);
  return { matrices: uploadPanels(ops, gram, rows, size), halfSquares: null, positions };
}

/** A row an output. @param whole [D + 1, outputs], the bias last. */
function storedRows(ops: Ops, whole: DeviceTensor): StoredProjection {
  const [size] = whole.shape;
  const [weight, bias] = ops.split(ops.toFloat32(whole), [size - 1, 1], 0);
  return { weight: ops.transpose(weight, [1, 0]), bias };
}
