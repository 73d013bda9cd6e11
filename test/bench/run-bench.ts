// The frame of a benchmark that is a program: a folder of its own that does not outlive it, and a line for what went wrong.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toEspalierError } from '../../shared/errors.ts';

/** Reads the flags and runs the benchmark; errors become a line on stderr and the exit code.
 * @param name of the folder, after "espalier-bench-". */
export async function runBench<Settings>(
  name: string,
  parse: (args: readonly string[]) => Settings,
  bench: (settings: Settings, folder: string) => Promise<void>,
): Promise<void> {
  try {
    const settings = parse(process.argv.slice(2));
    const folder = await mkdtemp(path.join(tmpdir(), `espalier-bench-${name}-`));
    try {
      await bench(settings, folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  } catch (caught) {
    const error = toEspalierError(caught);
    process.stderr.write(`${error.code === 'internal' ? error.stack : error.line}\n`);
    process.exitCode = error.exitCode;
  }
}
