// How a process holds what it has opened, and how it ends.
import { leaveClosedTerminals } from './closed-terminal.ts';
import { EspalierError, toEspalierError } from './errors.ts';

/** Releases, run once each, last opened first. One that fails does not keep the others from running. */
export class Releases {
  readonly #stack: (() => void | Promise<void>)[] = [];

  add(release: () => void | Promise<void>): void {
    this.#stack.push(release);
  }

  /** Runs them all. @throws EspalierError the first failure, after the last release has run. */
  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (let release = this.#stack.pop(); release !== undefined; release = this.#stack.pop()) {
      try {
        await release();
      } catch (caught) {
        failures.push(caught);
      }
    }
    if (failures.length > 0) throw toEspalierError(failures[0]);
  }
}

/** What a terminal sends to all processes that run in it: Ctrl-C, and that it has closed. */
export const TERMINAL_SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGHUP'];

/** All that ask a process to end. */
export const END_SIGNALS: readonly NodeJS.Signals[] = ['SIGTERM', ...TERMINAL_SIGNALS];

/** Calls `drain` at the first of these signals and `force` at each that follows, but not at a SIGHUP: of a terminal that
 * closes both the shell and the kernel tell, and nobody is there who could want it to end sooner. A terminal that has closed, told
 * of or not, does not change how the process exits. The returned function stops listening. */
export function onSignals(
  names: readonly NodeJS.Signals[],
  actions: { drain: (name: NodeJS.Signals) => void; force: (name: NodeJS.Signals) => void },
): () => void {
  let isDraining = false;
  const listener = (name: NodeJS.Signals) => {
    if (!isDraining) {
      isDraining = true;
      actions.drain(name);
    } else if (name !== 'SIGHUP') actions.force(name);
  };
  for (const name of names) process.on(name, listener);
  leaveClosedTerminals();
  return () => {
    for (const name of names) process.off(name, listener);
  };
}

/** `asked` resolves when the process is asked to drain; `signal` is then aborted. */
export interface Draining {
  readonly asked: Promise<void>;
  readonly signal: AbortSignal;
}

/** Waits for one of these signals, which asks the process to drain; the next ends it at once, as `onSignals` has it.
 * @returns what resolves with the first, and a signal that is then aborted, with "cancelled".
 * @param what ends, for the reason. */
export function drainAsked(names: readonly NodeJS.Signals[], what: string): Draining {
  const stop = new AbortController();
  const asked = new Promise<void>((resolve) => {
    const drain = () => {
      stop.abort(new EspalierError('cancelled', `the ${what} was asked to end`));
      resolve();
    };
    onSignals(names, { drain, force: killSelf });
  });
  return { asked, signal: stop.signal };
}

/** Resolves to "done" with the promise, or to "late" after `timeoutMs`; rejects as the promise does. */
export async function within(promise: Promise<unknown>, timeoutMs: number): Promise<'done' | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), timeoutMs);
  });
  try {
    return await Promise.race([promise.then(() => 'done' as const), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ends this process at once, whatever native code its threads are in: process.exit would wait for them. */
export function killSelf(): void {
  process.kill(process.pid, 'SIGKILL');
  // The kernel spares the first process of a container every signal from inside it, but not the faults of its own.
  process.abort();
}
