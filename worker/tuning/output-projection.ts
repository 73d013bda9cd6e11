// The student's output projection, with what every sum of its sub-layer is multiplied by. Sums of features that have a scale
// each are made in panels of rows; those of heads, which have many features a scale and an offset, as one table.
import { alignedColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';

/** Panels that AᵀA is cut into on a CPU and on a GPU: p of them compute (p + 1) / 2p of a symmetric product, and more make
 * smaller products of it. Smaller panels than the least are not worth it. Part of what makes results equal, like the plan. */
const PANELS = { cpu: 4, gpu: 2 };
const LEAST_ROWS = 96;

/** Features of 1 that stand for the offset: one counts, four keep the rows of products aligned to 16 bytes. */
const OFFSET_FEATURES = 4;

/** Neighbouring rows of a matrix. */
export interface Rows {
  readonly first: number;
  readonly count: number;
}

/** Float64. */
export interface Projection {
  /** k */
  readonly scales: number;
  /** n: k · features of one scale. */
  readonly features: number;
  /** Consecutive features of one scale: head size, or 1 for neurons. */
  readonly blockSize: number;
  /** D */
  readonly hiddenSize: number;
  /** One free constant for every output coordinate is fitted as well. */
  readonly withOffset: boolean;
  readonly form: PanelForm | TableForm;
}

/** A scale for each feature, and no offset. */
export interface PanelForm {
  readonly kind: 'panels';
  /** Of W·Wᵀ, whose rows are cut in the same way as those of XᵀX. */
  readonly rows: readonly Rows[];
  /** W [n, D] */
  readonly weight: DeviceTensor;
  /** Rows of W·Wᵀ from the diagonal on, [count, n − first] each. */
  readonly products: readonly DeviceTensor[];
}

/** A scale for each block of features. The offset is one block more, of a feature that is 1 everywhere and whose row of W is
 * 1: with these, X₊ [positions, n₊] and W₊ [n₊, D], and k₊ = k + 1. Without an offset they are X, W and k. */
export interface TableForm {
  readonly kind: 'table';
  /** Features beside X, all 1. */
  readonly offsetFeatures: number;
  /** [W₊·W₊ᵀ, W₊], [n₊, n₊ + D]: what X₊ᵀ·[X₊, R] is multiplied by. */
  readonly factors: DeviceTensor;
  /** [k₊, n₊], 1 where a feature is in the block, else 0: adds the rows of each block. */
  readonly addRows: DeviceTensor;
  /** [n₊ + D, k₊ + 1]: adds the columns of each block, and those of R. */
  readonly addColumns: DeviceTensor;
}

/** @param kernel W float32 [n, D]. @param checkCancelled called between operations; throws when nobody waits any more.
 * Tensors belong to the scope that is open. */
export function makeProjection(
  ops: Ops,
  kernel: DeviceTensor,
  { blockSize, withOffset }: Pick<Projection, 'blockSize' | 'withOffset'>,
  checkCancelled: () => void = () => {},
): Projection {
  const [features, hiddenSize] = kernel.shape;
  const sizes = { scales: features / blockSize, features, blockSize, hiddenSize, withOffset };
  const isPanels = blockSize === 1 && !withOffset;
  return ops.engine.scope(() => ({
    ...sizes,
    form: isPanels ? panelForm(ops, kernel, checkCancelled) : tableForm(ops, kernel, sizes),
  }));
}

/** All tensors of a projection, for its owner to release. */
export function projectionTensors({ form }: Projection): DeviceTensor[] {
  if (form.kind === 'panels') return [form.weight, ...form.products];
  return [form.factors, form.addRows, form.addColumns];
}

function panelForm(ops: Ops, kernel: DeviceTensor, checkCancelled: () => void): PanelForm {
  const [features] = kernel.shape;
  const rows = panelRows(ops, features);
  const weight = ops.toFloat64(kernel);
  const products = rows.map(({ first, count }) => {
    checkCancelled();
    const from = (size: number) => (size === features ? weight : ops.slice(weight, [first, 0], [size, -1]));
    return ops.matMul(from(count), from(features - first), false, true);
  });
  return { kind: 'panels', rows, weight, products };
}

/** How the rows of a symmetric product of so many features are cut. */
export function panelRows({ engine }: Ops, features: number): Rows[] {
  const panels = engine.binding.isUsingGpuDevice() ? PANELS.gpu : PANELS.cpu;
  const count = Math.max(LEAST_ROWS, alignedColumns(engine, Math.ceil(features / panels)));
  const rows: Rows[] = [];
  for (let first = 0; first < features; first += count) rows.push({ first, count: Math.min(count, features - first) });
  return rows;
}

function tableForm(
  ops: Ops,
  kernel: DeviceTensor,
  { scales, features, blockSize, hiddenSize, withOffset }: Omit<Projection, 'form'>,
): TableForm {
  const { engine } = ops;
  const offsetFeatures = withOffset ? OFFSET_FEATURES : 0;
  const all = features + offsetFeatures;
  const blocks = scales + (withOffset ? 1 : 0);
  const blockOf = (feature: number) => Math.floor(feature / blockSize);
  const addRows = new Float64Array(blocks * all);
  const addColumns = new Float64Array((all + hiddenSize) * (blocks + 1));
  const add = (feature: number, block: number) => {
    addRows[block * all + feature] = 1;
    addColumns[feature * (blocks + 1) + block] = 1;
  };
  for (let feature = 0; feature < features; feature++) add(feature, blockOf(feature));
  if (withOffset) add(features, scales);
  for (let d = 0; d < hiddenSize; d++) addColumns[(all + d) * (blocks + 1) + blocks] = 1;
  const whole = withOffset ? ops.concat([kernel, ops.ones([offsetFeatures, hiddenSize])], 0) : kernel;
  const weight = ops.toFloat64(whole);
  return {
    kind: 'table',
    offsetFeatures,
    factors: ops.concat([ops.matMul(weight, weight, false, true), weight], 1),
    addRows: engine.uploadFloat64(addRows, [blocks, all]),
    addColumns: engine.uploadFloat64(addColumns, [all + hiddenSize, blocks + 1]),
  };
}
