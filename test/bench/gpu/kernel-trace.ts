// What a GPU does while a stage runs as it is: every kernel and copy of a process, recorded by kernel-trace.cc.
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../../shared/project-root.ts';
import type { CallFigures, KernelFigures } from './figures.ts';

const execute = promisify(execFile);
const SOURCE = 'test/bench/gpu/kernel-trace.cc';
/** Where NVIDIA's installers put CUDA. */
const CUDA_FOLDER = '/usr/local/cuda';
const HEADERS = ['include', 'targets/x86_64-linux/include', 'extras/CUPTI/include'];
const LIBRARIES = ['lib64', 'targets/x86_64-linux/lib', 'extras/CUPTI/lib64'];

/** Milliseconds of the epoch. */
export interface TimeWindow {
  readonly start: number;
  readonly end: number;
}

export interface TracedCall {
  readonly name: string;
  /** Milliseconds of the epoch. */
  readonly start: number;
  readonly milliseconds: number;
}

export interface Tracer {
  /** Settings of a process to be recorded. */
  readonly env: Readonly<Record<string, string>>;
  /** What the processes since the first have done. */
  read(): Promise<TracedCall[]>;
}

/** Compiles the recorder. @param folder of its own. @returns null and why: no compiler, or no CUPTI (CUDA_HOME). */
export async function openTracer(
  folder: string,
): Promise<{ tracer: Tracer; problem: null } | { tracer: null; problem: string }> {
  const cuda = process.env.CUDA_HOME || CUDA_FOLDER;
  const library = path.join(folder, 'kernel-trace.so');
  const traces = path.join(folder, 'kernels');
  await mkdir(traces, { recursive: true });
  try {
    const headers = await present(HEADERS.map((name) => path.join(cuda, name)));
    if (headers.length === 0) return { tracer: null, problem: `${cuda}: got no headers, expected CUPTI's (CUDA_HOME)` };
    // Records grow with CUPTI's versions; a header has the form of each, and what is recorded has the newest.
    const newest = async (name: string) => {
      const { stdout } = await execute('grep', ['-ohrE', `\\b${name}[0-9]+\\b`, ...headers]);
      const versions = stdout.trim().split('\n');
      return versions.sort((a, b) => versionOf(a) - versionOf(b)).at(-1)!;
    };
    const libraries = await present(LIBRARIES.map((name) => path.join(cuda, name)));
    await execute('g++', [
      ...['-O2', '-std=c++17', '-shared', '-fPIC', path.join(projectRoot(), SOURCE), '-o', library],
      `-DKERNEL_RECORD=${await newest('CUpti_ActivityKernel')}`,
      `-DCOPY_RECORD=${await newest('CUpti_ActivityMemcpy')}`,
      ...headers.map((name) => `-I${name}`),
      ...libraries.flatMap((name) => [`-L${name}`, `-Wl,-rpath,${name}`]),
      '-lcupti',
    ]);
  } catch (error) {
    const { message, stderr } = error as Error & { stderr?: string };
    return { tracer: null, problem: stderr?.split('\n').find((line) => line.includes('error')) ?? message };
  }
  return {
    tracer: {
      env: { CUDA_INJECTION64_PATH: library, ESPALIER_KERNEL_TRACE: traces },
      async read() {
        const files = await readdir(traces);
        const found = files.map(async (name) => parseTrace(await readFile(path.join(traces, name), 'utf8')));
        return (await Promise.all(found)).flat();
      },
    },
    problem: null,
  };
}

async function present(folders: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    folders.map((folder) =>
      readdir(folder).then(
        () => true,
        () => false,
      ),
    ),
  );
  return folders.filter((_, i) => found[i]);
}

function versionOf(name: string): number {
  return Number(/\d+$/.exec(name)?.[0]);
}

/** @param text as kernel-trace.cc writes it; a last line that was cut off is left out. */
export function parseTrace(text: string): TracedCall[] {
  const names = new Map<string, string>();
  const found: TracedCall[] = [];
  let clock = { nanoseconds: 0n, milliseconds: 0 };
  for (const line of text.slice(0, text.lastIndexOf('\n')).split('\n')) {
    const [kind, first, second, third] = line.split(' ');
    if (kind === 'clock') clock = { nanoseconds: BigInt(first), milliseconds: Number(second) * 1000 };
    else if (kind === 'name') names.set(first, line.slice(`name ${first} `.length));
    else if (kind === 'ran') {
      const start = clock.milliseconds + Number(BigInt(second) - clock.nanoseconds) / 1e6;
      found.push({ name: names.get(first) ?? first, start, milliseconds: Number(third) / 1e6 });
    }
  }
  return found;
}

/** What a device did within a window: calls that began there, and how long at least one of them ran. */
export function kernelFigures(calls: readonly TracedCall[], { start, end }: TimeWindow): KernelFigures {
  const own = calls.filter((call) => call.start >= start && call.start < end).sort((a, b) => a.start - b.start);
  const byName = new Map<string, CallFigures>();
  let [busy, until] = [0, 0];
  for (const call of own) {
    const before = byName.get(call.name) ?? { name: call.name, calls: 0, seconds: 0 };
    const seconds = before.seconds + call.milliseconds / 1000;
    byName.set(call.name, { ...before, calls: before.calls + 1, seconds });
    const ends = call.start + call.milliseconds;
    if (ends > until) {
      busy += ends - Math.max(call.start, until);
      until = ends;
    }
  }
  return { busySeconds: busy / 1000, kernels: [...byName.values()].sort((a, b) => b.seconds - a.seconds) };
}
