// What self-check.ts asks of the kernels for systems: every function on a few numbers.
import type { DeviceTensor, Engine } from '../engine.ts';
import type { SystemKernels } from './system-kernels.ts';

const ROWS = 5;
/** Of panels of its rows from the diagonal on. */
const PANEL_ROWS = 3;
const WIDTH = 4;

/** @returns a tensor under the name of each function. */
export function systemResults(engine: Engine, systems: SystemKernels): Record<string, DeviceTensor> {
  let count = 0;
  const numbers = (length: number) => Float64Array.from({ length }, () => Math.sin(1 + count++ * 2.3));
  const sizeOf = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1);
  const upload = (...shape: number[]) => engine.uploadFloat64(numbers(sizeOf(shape)), shape);
  const product = (...shape: number[]) => engine.upload(Float32Array.from(numbers(sizeOf(shape))), shape);
  const [matrix, right, pulled] = [upload(ROWS, ROWS), upload(ROWS, WIDTH), upload(ROWS, WIDTH)];
  const products = [product(ROWS + 1, WIDTH + 2), product(ROWS, WIDTH)];
  const sizes = [
    [ROWS, WIDTH],
    [ROWS - 1, WIDTH],
  ] as const;
  const wide = systems.widen(products, sizes, null);
  const times = systems.widen(products, sizes, [right, upload(ROWS - 1, WIDTH)]);
  const panels = [upload(PANEL_ROWS, ROWS), upload(ROWS - PANEL_ROWS, ROWS - PANEL_ROWS)];
  const [sum, sumOfOne] = systems.addParts([right, upload(1)], [pulled, upload(1)]);
  const told = systems.download([matrix, panels[1]!], [right, sumOfOne!]);
  return {
    'widened product': wide[0]!,
    'second widened product': wide[1]!,
    'widened product times a factor': times[0]!,
    'second widened product times a factor': times[1]!,
    'whole matrix': systems.wholeMatrix(panels),
    'sum of a pair': sum!,
    'sum of another pair': sumOfOne!,
    'damped matrix': systems.damp(matrix, 0.3, true),
    'matrix damped everywhere': systems.damp(matrix, 0.3, false),
    "ridge's right side": systems.ridgeRight(right, pulled, 0.3),
    'terms of an error': systems.errorTerms(right, pulled, sum!),
    'what is told': engine.uploadFloat64(told, [told.length]),
  };
}
