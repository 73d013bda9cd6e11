// The frame of a benchmark that is a program: a folder of its own that does not outlive it, and a line for what went wrong.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { END_SIGNALS, onSignals } from '../../shared/lifecycle.ts';

/** Reads the flags and runs the benchmark; errors become a line on stderr and the exit code. A signal that asks it to end does
 * so at once: processes that it has forked end with it.
 * @param name of the folder, after "espalier-bench-". */
export async function runBench<Settings>(
  name: string,
  parse: (args: readonly string[]) => Settings,
  bench: (settings: Settings, folder: string) => Promise<void>,
): Promise<void> {
  const end = (signal: string) => process.exit(report(new EspalierError('cancelled', `interrupted by ${signal}`)));
  try {
    const settings = parse(process.argv.slice(2));
    const folder = mkdtempSync(path.join(tmpdir(), `espalier-bench-${name}-`));
    // What others still write may have to be removed again.
    process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
    onSignals(END_SIGNALS, { drain: end, force: end });
    await bench(settings, folder);
  } catch (caught) {
    process.exitCode = report(caught);
  }
}

/** @returns the exit code. */
function report(caught: unknown): number {
  const error = toEspalierError(caught);
  process.stderr.write(`${error.code === 'internal' ? error.stack : error.line}\n`);
  return error.exitCode;
}
