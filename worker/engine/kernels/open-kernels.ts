// Which kernels a process computes with, chosen once at its start: fused ones where the library of own operations is there,
// was made for this TensorFlow, and agrees with the plain ones.
import { EspalierError } from '../../../shared/errors.ts';
import { type LoadedOps, loadOps, type OpsLibrary } from '../binding.ts';
import type { Engine } from '../engine.ts';
import type { Ops } from '../ops.ts';
import { FusedKernels } from './fused-kernels.ts';
import { gpuImages } from './gpu-images.ts';
import { HostFunctions } from './host-functions.ts';
import type { Kernels } from './kernels.ts';
import type { KernelsWanted } from './kernels-wanted.ts';
import { PlainKernels } from './plain-kernels.ts';
import { disagreement } from './self-check.ts';

export interface OpenedKernels {
  readonly kernels: Kernels;
  /** Why they are plain although fused ones were welcome; null: they are what was wanted. */
  readonly problem: string | null;
}

/** @param loaded the library, for tests.
 * @throws EspalierError "engine" when fused ones are wanted and cannot be had. */
export function openKernels(ops: Ops, wanted: KernelsWanted, loaded: LoadedOps = loadOps()): OpenedKernels {
  const plain = new PlainKernels(ops);
  if (wanted === 'plain') return { kernels: plain, problem: null };
  const fused = new FusedKernels(ops);
  const problem = problemOf(ops, fused, loaded);
  if (problem === null) return { kernels: fused, problem: null };
  if (wanted === 'fused')
    throw new EspalierError('engine', `fused kernels cannot be had: ${problem}`, {
      action: 'run `npm run setup`, which says what is missing, or choose --kernels auto',
    });
  return { kernels: plain, problem };
}

function problemOf({ engine }: Ops, fused: Kernels, { library, problem }: LoadedOps): string | null {
  if (library === null) return problem;
  const running = engine.binding.TF_Version;
  if (library.tensorflowVersion !== running)
    return `the operations were compiled for TensorFlow ${library.tensorflowVersion}, got ${running}`;
  const reference = new PlainKernels(new HostFunctions(engine));
  return engine.binding.isUsingGpuDevice()
    ? gpuProblem(engine, fused, reference, library)
    : failureOf(() => disagreement(engine, fused, reference));
}

// The first image that loads and computes rightly serves.
function gpuProblem(engine: Engine, fused: Kernels, reference: Kernels, library: OpsLibrary): string | null {
  return failureOf(() => {
    const problems: string[] = [];
    for (const candidate of gpuImages(library)) {
      const problem = failureOf(() => {
        const image = candidate.image();
        library.setKernels(image);
        const found = disagreement(engine, fused, reference);
        if (found === null) candidate.keep(image);
        return found;
      });
      if (problem === null) return null;
      problems.push(`${candidate.origin}: ${problem}`);
    }
    return problems.join('; ');
  });
}

function failureOf(check: () => string | null): string | null {
  try {
    return check();
  } catch (caught) {
    return caught instanceof Error ? caught.message : String(caught);
  }
}
