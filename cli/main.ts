// The `espalier` process: listen for signals, run the command, leave with its exit code.
import { performance } from 'node:perf_hooks';
import { EspalierError, toEspalierError } from '../shared/errors.ts';
import { END_SIGNALS, onSignals } from '../shared/lifecycle.ts';
import { cluster } from './cluster.ts';
import { processOf } from './commands/processes.ts';
import { jobs } from './jobs.ts';
import { reportError, runCommandLine } from './run-command-line.ts';

/** How long handles that a command left open may hold the process after its work is done. */
const LINGER_MS = 2000;

// A reader that has gone (`espalier inspect DIR | head -1`, or a terminal that closed) is no failure of the work.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || (error.code === 'EIO' && stream.isTTY)) return;
    const failure = toEspalierError(error);
    process.exitCode = failure.exitCode;
    if (stream === process.stdout) reportError(failure, process);
  });

for (const event of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(event, (caught: unknown) => {
    const error = toEspalierError(caught);
    reportError(error, process);
    process.exit(error.exitCode);
  });

// The first signal lets the job store what it has; the second does not wait for that.
const interruption = new AbortController();
const cancelled = (name: string) => new EspalierError('cancelled', `interrupted by ${name}`);
const words = process.argv.slice(2);
// A coordinator or a worker has its own way to end.
const signals = processOf(words) === null ? END_SIGNALS : [];
const stopListening = onSignals(signals, {
  drain: (name) => interruption.abort(cancelled(name)),
  force: (name) => process.exit(cancelled(name).exitCode),
});
process.exitCode = await runCommandLine(words, {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  cwd: process.cwd(),
  signal: interruption.signal,
  now: () => performance.now(),
  onExit(callback) {
    process.once('exit', callback);
    return () => process.off('exit', callback);
  },
  jobs,
  cluster,
});
stopListening();
setTimeout(() => process.exit(), LINGER_MS).unref();
