// The code of the own operations for the GPU that is there, from the quickest source that has it: what an earlier start of this
// user compiled, NVRTC, and the PTX that comes with the library, which the driver compiles.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { cacheFolder } from '../../../shared/cache-folder.ts';
import type { OpsLibrary } from '../binding.ts';

export interface GpuImage {
  /** For whoever reads why it did not serve. */
  readonly origin: string;
  /** @throws Error that says why there is none. */
  image(): Buffer;
  /** Keeps an image that has proved right for later starts. */
  keep(image: Buffer): void;
}

/** Where to look, in this order. @throws Error when the GPU's kind cannot be told. */
export function gpuImages(
  library: Pick<OpsLibrary, 'computeCapability' | 'kernelSource' | 'kernelPtx' | 'compileKernels'>,
  folder: string = cacheFolder('kernels'),
): GpuImage[] {
  const architecture = `sm_${library.computeCapability()}`;
  const sources = createHash('sha256').update(library.kernelSource()).digest('hex');
  const file = path.join(folder, `${architecture}-${sources.slice(0, 16)}.cubin`);
  return [
    { origin: 'cache', image: () => readFileSync(file), keep() {} },
    { origin: 'NVRTC', image: () => library.compileKernels(architecture), keep: (image) => tryWrite(file, image) },
    // Text, which the driver reads to its end.
    { origin: 'PTX', image: () => Buffer.concat([gunzipSync(library.kernelPtx()), Buffer.of(0)]), keep() {} },
  ];
}

// A folder that cannot be written, or a full disk, costs a second at the next start.
function tryWrite(file: string, image: Buffer): void {
  const scratch = `${file}.${process.pid}`;
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    try {
      writeFileSync(scratch, image);
      renameSync(scratch, file);
    } finally {
      rmSync(scratch, { force: true });
    }
  } catch {}
}
