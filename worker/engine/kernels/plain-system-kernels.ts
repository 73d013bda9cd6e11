// Kernels for systems of TensorFlow's own operations.
import { firstColumns, firstRows } from '../aligned-columns.ts';
import type { DeviceTensor } from '../engine.ts';
import type { Ops } from '../ops.ts';
import type { SystemKernels } from './system-kernels.ts';

export class PlainSystemKernels implements SystemKernels {
  private readonly ops: Ops;

  constructor(ops: Ops) {
    this.ops = ops;
  }

  widen(
    products: readonly DeviceTensor[],
    sizes: readonly (readonly [rows: number, columns: number])[],
    factors: readonly DeviceTensor[] | null,
  ): DeviceTensor[] {
    const { ops } = this;
    return products.map((product, i) => {
      const [rows, columns] = sizes[i]!;
      const wide = ops.toFloat64(firstRows(ops, firstColumns(ops, product, columns), rows));
      return factors === null ? wide : ops.mul(factors[i]!, wide);
    });
  }

  addParts(a: readonly DeviceTensor[], b: readonly DeviceTensor[]): DeviceTensor[] {
    return a.map((part, i) => this.ops.add(part, b[i]!));
  }

  wholeMatrix(panels: readonly DeviceTensor[]): DeviceTensor {
    const { ops } = this;
    if (panels.length === 1) return panels[0]!;
    const firsts: number[] = [];
    let next = 0;
    for (const { shape } of panels) {
      firsts.push(next);
      next += shape[0]!;
    }
    const rows = panels.map((panel, p) => {
      const left = panels.slice(0, p).map((above, q) => {
        const block = ops.slice(above, [0, firsts[p]! - firsts[q]!], [above.shape[0]!, panel.shape[0]!]);
        return ops.transpose(block, [1, 0]);
      });
      return ops.concat([...left, panel], 1);
    });
    return ops.concat(rows, 0);
  }

  damp(matrix: DeviceTensor, damping: number, isLastUndamped: boolean): DeviceTensor {
    const { ops } = this;
    const [size] = matrix.shape as [number];
    const added = new Float64Array(size).fill(damping);
    if (isLastUndamped) added[size - 1] = 0;
    return ops.withDiagonal64(matrix, ops.add(ops.diagonal64(matrix), ops.engine.uploadFloat64(added, [size])));
  }

  ridgeRight(right: DeviceTensor, pulled: DeviceTensor, damping: number): DeviceTensor {
    const { ops } = this;
    const [rows] = right.shape as [number];
    const belowPulled = [
      [0, 1],
      [0, 0],
    ] as const;
    const above = ops.pad(ops.slice(pulled, [0, 0], [rows - 1, -1]), belowPulled);
    return ops.add(right, ops.mul(above, ops.engine.uploadFloat64(Float64Array.of(damping), [])));
  }

  errorTerms(projection: DeviceTensor, product: DeviceTensor, right: DeviceTensor): DeviceTensor {
    const { ops } = this;
    return ops.mul(projection, ops.sub(product, ops.add(right, right)));
  }

  download(matrices: readonly DeviceTensor[], others: readonly DeviceTensor[]): Float64Array {
    const { ops } = this;
    const flat = others.map((other) => (other.shape.length === 1 ? other : ops.reshape(other, [-1])));
    const parts = [...matrices.map((matrix) => ops.diagonal64(matrix)), ...flat];
    return ops.engine.downloadFloat64(ops.concat(parts, 0));
  }
}
