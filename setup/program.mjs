// What all programs of the set-up share: where the checkout is, one line for an expected failure, and an orderly end on
// Ctrl-C.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { createContext } from './context.mjs';
import { SetupProblem } from './problem.mjs';

const ROOT = path.dirname(import.meta.dirname);
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };
// npm passes a terminal's Ctrl-C on to a program that got it from the terminal as well: two so close together are one.
const SAME_SIGNAL_MS = 300;
const ORPHAN_MS = 500;

/** Runs `work(context)` as this process's program and sets the exit code: that which `work` returns, 1 for a failure,
 * 128 + n after a signal. */
export async function runProgram(work) {
  const interrupted = new AbortController();
  const stop = (signalName) => interrupted.abort(new Interrupted(signalName));
  for (const name of Object.keys(SIGNALS)) process.on(name, stop);
  const watch = watchNpm();
  try {
    const say = (line) => console.log(`set-up: ${line}`);
    process.exitCode = await work(createContext({ root: ROOT, say, signal: interrupted.signal }));
  } catch (error) {
    if (error instanceof Interrupted || interrupted.signal.aborted) {
      process.exitCode = SIGNALS[interrupted.signal.reason.signalName];
      console.error('set-up: interrupted; run it again to go on');
    } else {
      process.exitCode = 1;
      const expected = error instanceof SetupProblem || typeof error.code === 'string';
      console.error(`set-up failed: ${expected ? error.message : error.stack}`);
    }
  } finally {
    clearInterval(watch);
    for (const name of Object.keys(SIGNALS)) process.off(name, stop);
  }
}

/** Ends this process as by SIGTERM when the npm that started it is gone: npm dies of that signal, or of SIGKILL, without a
 * word to its scripts, which would go on with nobody to stop them. */
function watchNpm() {
  if (process.env.npm_lifecycle_event === undefined) return undefined;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, ORPHAN_MS);
  return watch.unref();
}

/** Runs a program of the checkout in the foreground with this terminal; each signal is passed on once.
 * @returns {Promise<number>} its exit code, or 128 + n when a signal ended it. */
export async function runInForeground(context, args, env = context.env) {
  context.signal.throwIfAborted();
  // A process group of its own: otherwise the terminal's Ctrl-C would reach it beside the one that is passed on, and
  // the second signal forces.
  const child = spawn(process.execPath, args, { cwd: context.root, env, stdio: 'inherit', detached: true });
  const lastMs = {};
  const passOn = (name) => {
    if (performance.now() - (lastMs[name] ?? Number.NEGATIVE_INFINITY) < SAME_SIGNAL_MS) return;
    lastMs[name] = performance.now();
    child.kill(name);
  };
  for (const name of Object.keys(SIGNALS)) process.on(name, passOn);
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signalName) => resolve(code ?? SIGNALS[signalName] ?? 1));
    });
  } finally {
    for (const name of Object.keys(SIGNALS)) process.off(name, passOn);
    endGroup(child.pid);
  }
}

/** Ends what a program left behind in its process group, which normally is nothing. */
function endGroup(groupId) {
  try {
    process.kill(-groupId, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

class Interrupted extends Error {
  constructor(signalName) {
    super(`interrupted by ${signalName}`);
    this.signalName = signalName;
  }
}
