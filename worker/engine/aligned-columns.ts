// How wide matrices are whose columns are neurons. On a GPU the fast kernels for products take rows that begin at multiples of 16
// bytes alone: with other widths tuning took 1.4 times as long on an H200 (docs/performance.md).
import type { DeviceTensor, Engine } from './engine.ts';
import type { Ops } from './ops.ts';

const MULTIPLE = { cpu: 1, gpu: 8 };

/** The least multiple of the device's that holds so many columns; as many on a CPU. */
export function alignedColumns({ binding }: Engine, columns: number): number {
  const multiple = binding.isUsingGpuDevice() ? MULTIPLE.gpu : MULTIPLE.cpu;
  return Math.ceil(columns / multiple) * multiple;
}

/** x without what fills up its columns: itself where nothing does. @param x [rows, columns or more] */
export function firstColumns(ops: Ops, x: DeviceTensor, columns: number): DeviceTensor {
  return x.shape[1] === columns ? x : ops.slice(x, [0, 0], [-1, columns]);
}

/** The same of rows. @param x [rows or more, columns] */
export function firstRows(ops: Ops, x: DeviceTensor, rows: number): DeviceTensor {
  return x.shape[0] === rows ? x : ops.slice(x, [0, 0], [rows, -1]);
}
