// The system of a sub-layer's scales on the device. The unknown is x = s − 1, so that damping pulls scales towards 1; with
// M = AᵀA and r = Aᵀb − M·1 (the residual's right side at scales 1, the offset's row included), M x = r undamped.
import { requireFinite } from '../../pruning/normal-equations.ts';
import type { ResidualTerms } from '../../pruning/scale-residual.ts';
import type { ScaleSystem } from '../../pruning/tuning.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { SystemKernels } from '../engine/kernels/system-kernels.ts';
import type { Ops } from '../engine/ops.ts';
import type { Forward } from '../model/forward.ts';
import { type DeviceSums, halfSquaresOf } from './device-sums.ts';
import type { Projection } from './output-projection.ts';

/** A system on the device. Its tensors belong to the scope in which it was made, or are those of its sums. */
export interface DeviceSystem extends ScaleSystem, ResidualTerms {
  /** k, or k + 1 with the offset as the last unknown. */
  readonly size: number;
  /** M, full and symmetric up to rounding, [size, size]. */
  readonly matrix: DeviceTensor;
  /** r [size, 1] */
  readonly residual: DeviceTensor;
  /** M's diagonal, [size]. */
  readonly diagonal: Float64Array;
  /** M's column of the offset, [size]; null without one. */
  readonly offset: Float64Array | null;
  /** M·s at scales 1 and offset 0, [size]. */
  readonly atOne: Float64Array;
}

interface Parts {
  readonly matrix: DeviceTensor;
  /** [size, 1] */
  readonly right: DeviceTensor;
  /** [size, 1] */
  readonly offset: DeviceTensor | null;
}

/** The systems that sums make; their numbers come to the host in one transfer.
 * @throws EspalierError "not_finite" where one of them is not. */
export function makeSystems(
  { kernels: { systems }, ops }: Forward,
  sums: readonly DeviceSums[],
  projection: Projection,
): DeviceSystem[] {
  const { engine } = ops;
  const { scales, hiddenSize, withOffset } = projection;
  const size = scales + (withOffset ? 1 : 0);
  const isPanels = projection.form.kind === 'panels';
  const columns = withOffset ? 3 : 2;
  const { made, numbers } = engine.scope(() => {
    const all = sums.map((own) => {
      const { matrix, right, offset } = isPanels ? fromPanels(systems, own) : fromTable(ops, own, projection);
      const rowSums = ops.sum64(matrix, [1], true);
      const told = [rowSums, right, ...(offset === null ? [] : [offset]), halfSquaresOf(own)];
      return { matrix, residual: ops.sub(right, rowSums), told };
    });
    const made = all.map(({ matrix, residual }) => ({ matrix, residual }));
    const matrices = made.map(({ matrix }) => matrix);
    return {
      made,
      numbers: systems.download(
        matrices,
        all.flatMap(({ told }) => told),
      ),
    };
  });
  const count = columns * size + 1;
  return sums.map(({ positions }, i) => {
    const diagonal = numbers.slice(i * size, (i + 1) * size);
    const own = numbers.subarray(sums.length * size + i * count, sums.length * size + (i + 1) * count);
    const [rowSums, right] = [0, 1].map((at) => own.slice(at * size, (at + 1) * size));
    requireFinite('sums of rows of the matrix', rowSums);
    requireFinite('right side', right);
    requireFinite('squares of targets', own.subarray(columns * size));
    const offset = withOffset ? own.slice(2 * size, 3 * size) : null;
    return {
      ...{ scales, size, positions, coordinates: positions * hiddenSize, right, diagonal, offset, ...made[i] },
      targetSquares: 2 * own[columns * size],
      atOne: offset === null ? rowSums : rowSums.map((sum, row) => sum - offset[row]),
    };
  });
}

function fromPanels(systems: SystemKernels, { matrices }: DeviceSums): Parts {
  const panels = matrices.slice(0, -1);
  return { matrix: systems.wholeMatrix(panels), right: matrices[panels.length], offset: null };
}

// The offset's row is its column, whose bits are what travels.
function fromTable(ops: Ops, { matrices: [table] }: DeviceSums, { scales, withOffset }: Projection): Parts {
  const [size] = table.shape;
  const right = ops.slice(table, [0, size], [size, 1]);
  const above = ops.slice(table, [0, 0], [scales, size]);
  if (!withOffset) return { matrix: above, right, offset: null };
  const offset = ops.slice(table, [0, scales], [size, 1]);
  return { matrix: ops.concat([above, ops.transpose(offset, [1, 0])], 0), right, offset };
}
