// Sums of a sub-layer between device and host. What comes back from the host has the bits of what was sent there, as far as a
// system is made of it.
import type { ScaleSums } from '../../pruning/normal-equations.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import { type DeviceSums, halfSquaresOf } from './device-sums.ts';
import type { PanelForm, Projection } from './output-projection.ts';

/** Brings sums to the host. */
export function downloadSums(ops: Ops, sums: DeviceSums, projection: Projection): ScaleSums {
  const { scales, withOffset, form } = projection;
  const parts = [...sums.matrices, halfSquaresOf(sums)];
  const numbers = ops.engine.scope(() =>
    ops.engine.downloadFloat64(
      ops.concat(
        parts.map((part) => ops.reshape(part, [-1])),
        0,
      ),
    ),
  );
  const targetSquares = 2 * numbers[numbers.length - 1];
  const shared = { scales, targetSquares, positions: sums.positions };
  if (form.kind === 'panels') {
    const length = numbers.length - 1 - scales;
    const [matrix, right] = [numbers.slice(0, length), numbers.slice(length, length + scales)];
    return { ...shared, matrix, right, offset: new Float64Array(0), targetSum: 0 };
  }
  const width = scales + (withOffset ? 2 : 1);
  const column = (at: number) => Float64Array.from({ length: scales }, (_, i) => numbers[i * width + at]);
  const matrix = new Float64Array(scales * scales);
  for (let i = 0; i < scales; i++) matrix.set(numbers.subarray(i * width, i * width + scales), i * scales);
  return {
    ...{ ...shared, matrix, right: column(width - 1) },
    offset: withOffset ? column(scales) : new Float64Array(0),
    targetSum: withOffset ? numbers[scales * width + width - 1] : 0,
  };
}

/** Brings sums of this sub-layer to the device. Tensors belong to the scope that is open.
 * @throws EspalierError "shape_mismatch" for those of another. */
export function uploadSums(ops: Ops, sums: ScaleSums, projection: Projection): DeviceSums {
  const { scales, withOffset, form } = projection;
  const length = form.kind === 'panels' ? panelLength(form, scales) : scales ** 2;
  const isSame =
    sums.scales === scales && sums.matrix.length === length && sums.offset.length === (withOffset ? scales : 0);
  if (!isSame)
    throw new EspalierError(
      'shape_mismatch',
      `sub-layer sums: got ${sums.scales} scales, ${sums.matrix.length} elements, expected ${scales}, ${length}`,
    );
  return {
    matrices: form.kind === 'panels' ? uploadPanels(ops, sums, form) : [uploadTable(ops, sums, projection)],
    halfSquares: ops.engine.uploadFloat64(Float64Array.of(sums.targetSquares / 2), []),
    positions: sums.positions,
  };
}

function panelLength({ rows }: PanelForm, scales: number): number {
  return rows.reduce((sum, { first, count }) => sum + count * (scales - first), 0);
}

function uploadPanels(ops: Ops, { scales, matrix, right }: ScaleSums, { rows }: PanelForm): DeviceTensor[] {
  const { engine } = ops;
  let at = 0;
  const panels = rows.map(({ first, count }) => {
    const part = matrix.subarray(at, at + count * (scales - first));
    at += part.length;
    return engine.uploadFloat64(part, [count, scales - first]);
  });
  return [...panels, engine.uploadFloat64(right, [scales, 1])];
}

function uploadTable(ops: Ops, sums: ScaleSums, { scales, withOffset, hiddenSize }: Projection): DeviceTensor {
  const { matrix, right, offset, targetSum, positions } = sums;
  const blocks = scales + (withOffset ? 1 : 0);
  const width = blocks + 1;
  const table = new Float64Array(blocks * width);
  for (let i = 0; i < scales; i++) {
    table.set(matrix.subarray(i * scales, (i + 1) * scales), i * width);
    if (withOffset) table[i * width + scales] = offset[i];
    table[i * width + blocks] = right[i];
  }
  if (withOffset) {
    table.set(offset, scales * width);
    table.set([positions * hiddenSize, targetSum], scales * width + scales);
  }
  return ops.engine.uploadFloat64(table, [blocks, width]);
}
