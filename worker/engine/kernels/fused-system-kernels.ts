// Kernels for systems of Espalier's own operations (worker/engine/native/ops/system_ops.h). Numbers that the host knows stay in its
// memory: an upload would wait for everything that was issued before.
import { AttributeLists } from '../attribute-lists.ts';
import type { OpAttribute } from '../binding.ts';
import { type DeviceTensor, type Engine, int } from '../engine.ts';
import type { SystemKernels } from './system-kernels.ts';

const NONE: readonly OpAttribute[] = [];
const widens = new AttributeLists();
const parts = new AttributeLists();
const damps = new AttributeLists();
const gathers = new AttributeLists();

export class FusedSystemKernels implements SystemKernels {
  private readonly engine: Engine;

  /** @param engine of a process that has loaded the library of own operations. */
  constructor(engine: Engine) {
    this.engine = engine;
  }

  widen(
    products: readonly DeviceTensor[],
    sizes: readonly (readonly [rows: number, columns: number])[],
    factors: readonly DeviceTensor[] | null,
  ): DeviceTensor[] {
    const count = products.length;
    const inputs = [...products, ...(factors ?? []), this.engine.constant(sizes.flat())];
    const attributes = widens.of(2 * count + Number(factors !== null), () => [
      int('parts', count),
      int('factors', factors === null ? 0 : count),
    ]);
    return this.engine.opOutputs('EspalierWiden', inputs, attributes, count);
  }

  addParts(a: readonly DeviceTensor[], b: readonly DeviceTensor[]): DeviceTensor[] {
    return this.engine.opOutputs('EspalierAddParts', [...a, ...b], countOf(a), a.length);
  }

  wholeMatrix(panels: readonly DeviceTensor[]): DeviceTensor {
    if (panels.length === 1) return panels[0]!;
    return this.engine.op('EspalierWholeMatrix', panels, countOf(panels));
  }

  damp(matrix: DeviceTensor, damping: number, isLastUndamped: boolean): DeviceTensor {
    const undamped = Number(isLastUndamped);
    const attributes = damps.of(undamped, () => [int('undamped', undamped)]);
    return this.engine.op('EspalierDamp', [matrix, this.engine.hostNumber(damping)], attributes);
  }

  ridgeRight(right: DeviceTensor, pulled: DeviceTensor, damping: number): DeviceTensor {
    return this.engine.op('EspalierRidgeRight', [right, pulled, this.engine.hostNumber(damping)], NONE);
  }

  errorTerms(projection: DeviceTensor, product: DeviceTensor, right: DeviceTensor): DeviceTensor {
    return this.engine.op('EspalierErrorTerms', [projection, product, right], NONE);
  }

  download(matrices: readonly DeviceTensor[], others: readonly DeviceTensor[]): Float64Array {
    const attributes = gathers.of(32 * matrices.length + others.length, () => [
      int('diagonals', matrices.length),
      int('others', others.length),
    ]);
    const bits = this.engine.downloadFloat32(this.engine.op('EspalierGathered', [...matrices, ...others], attributes));
    return new Float64Array(bits.buffer, bits.byteOffset, bits.length / 2);
  }
}

function countOf(all: readonly DeviceTensor[]): readonly OpAttribute[] {
  return parts.of(all.length, () => [int('parts', all.length)]);
}
