// What this machine's device is called: the part of the device class that TensorFlow does not tell.
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import path from 'node:path';

/** Memory of GPUs in GB that plans are made for: cards of one model have the same, whatever is in use on them. */
const MEMORY_STEPS_GB = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];

const GPU_FOLDER = '/proc/driver/nvidia/gpus';

/** Instruction set that TensorFlow's CPU kernels choose by. */
export function cpuModel(): string {
  let text = '';
  try {
    text = readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return process.arch;
  }
  const flags = new Set((/^flags\s*:\s*(.*)$/m.exec(text)?.[1] ?? '').split(' '));
  const known = ['amx_tile', 'avx512_bf16', 'avx512f', 'avx2', 'avx', 'sse4_2'].find((flag) => flags.has(flag));
  const vendor = /^vendor_id\s*:\s*(\S+)/m.exec(text)?.[1] ?? process.arch;
  return `${vendor} ${known ?? 'baseline'}`;
}

/** Name of the first GPU that the driver lists, "gpu" where it lists none. */
export function gpuModel(): string {
  try {
    const [first] = readdirSync(GPU_FOLDER).sort();
    const text = readFileSync(path.join(GPU_FOLDER, first, 'information'), 'utf8');
    return /^Model:\s*(.+)$/m.exec(text)?.[1].trim() ?? 'gpu';
  } catch {
    return 'gpu';
  }
}

/** The step of memory that a GPU's is at least, in GB; 0 for less than the first. */
export function memoryStepGb(bytes: number): number {
  return MEMORY_STEPS_GB.findLast((step) => step * 1e9 <= bytes) ?? 0;
}

/** What a measured time belongs to: the CPU with its cores, or the GPU. @param provider "cpu" or "gpu". */
export function machineName(provider: string): string {
  if (provider === 'gpu') return gpuModel();
  const [first] = cpus();
  return `${(first?.model ?? cpuModel()).trim().replace(/\s+/g, ' ')}, ${availableParallelism()} cores`;
}
