// One process of the cluster on this machine, started again when it ends by itself.
//
// idle → starting → running → (ended by itself) → starting …
//                     └─ end() → ending → ended;   starting, or the fifth end within a minute → failed
//
// Each runs in a process group of its own: a terminal's Ctrl-C reaches the launcher alone, which ends them in order.

import { fork } from 'node:child_process';
import { SetupProblem } from '../problem.mjs';
import { eachLine, formatLine } from './log-lines.mjs';

const START_MS = 120_000;
const RESTART_MS = 1_000;
const MOST_ENDS = 5;
const ENDS_WITHIN_MS = 60_000;
const KEPT_LINES = 5;

export class ManagedProcess {
  #child = null;
  #exited = Promise.resolve();
  #isEnding = false;
  #restart = null;
  #ends = [];
  #lastLines = [];

  /** @param settings `name` for its lines; `file` and `args` of the Node program, `execArgv`, `env`, `cwd`;
   * `waitUntilReady(child, signal)`; `show(line)` prints; `onFailed(SetupProblem)` is told
   * when it cannot be kept running. */
  constructor(settings) {
    this.settings = settings;
  }

  get pid() {
    return this.#child?.pid;
  }

  /** Resolves when it is ready. @throws SetupProblem with its last words when it does not get there. */
  async start() {
    const { name, file, args, execArgv = [], env, cwd, waitUntilReady } = this.settings;
    const stdio = ['ignore', 'pipe', 'pipe', 'ipc'];
    const child = fork(file, args, { execArgv, env, cwd, stdio, detached: true });
    this.#child = child;
    this.#lastLines = [];
    for (const stream of [child.stdout, child.stderr]) eachLine(stream, (line) => this.#take(line));
    const gone = new AbortController();
    // "close" comes after the last of its output; a process that it left behind could hold that open.
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `ended by ${signal}`));
    });
    const lost = this.#exited.then((reason) => {
      endGroup(child.pid);
      gone.abort();
      return reason;
    });
    const timeout = AbortSignal.timeout(START_MS);
    const ready = waitUntilReady(child, AbortSignal.any([gone.signal, timeout])).then(
      () => null,
      () => (timeout.aborted ? `not ready after ${START_MS / 1000} s` : lost),
    );
    const reason = await Promise.race([ready, lost]);
    if (reason !== null) {
      endGroup(child.pid);
      await lost;
      await outputOf(child);
      throw new SetupProblem(`${name} did not start: ${this.#lastLines.at(-1) ?? reason}`);
    }
    void lost.then((why) => this.#ended(why));
  }

  /** Asks it to end, kills it after `graceMs`, resolves when it is gone. */
  async end(graceMs) {
    this.#isEnding = true;
    clearTimeout(this.#restart);
    if (this.#child === null) return;
    const timer = setTimeout(() => this.kill(), graceMs);
    this.#child.kill('SIGTERM');
    await this.#exited;
    clearTimeout(timer);
    endGroup(this.#child.pid);
  }

  kill() {
    this.#isEnding = true;
    clearTimeout(this.#restart);
    if (this.#child?.pid !== undefined) endGroup(this.#child.pid);
  }

  #ended(reason) {
    if (this.#isEnding) return;
    const { name, show, onFailed, restartMs = RESTART_MS } = this.settings;
    const now = performance.now();
    this.#ends = [...this.#ends, now].filter((at) => now - at < ENDS_WITHIN_MS);
    if (this.#ends.length >= MOST_ENDS) {
      onFailed(new SetupProblem(`${name} ended ${MOST_ENDS} times within a minute, the last time with ${reason}`));
      return;
    }
    show(formatLine(name, `${reason}; it is started again`));
    this.#restart = setTimeout(() => {
      if (!this.#isEnding) this.start().catch((error) => this.#isEnding || onFailed(error));
    }, restartMs);
  }

  #take(line) {
    const shown = formatLine(this.settings.name, line);
    if (line.trim() !== '') this.#lastLines = [...this.#lastLines, line].slice(-KEPT_LINES);
    if (shown !== null) this.settings.show(shown);
  }
}

/** Ends a process and what it started. */
function endGroup(pid) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

async function outputOf(child) {
  await Promise.all(
    [child.stdout, child.stderr].map(
      (stream) => stream.readableEnded || stream.destroyed || new Promise((resolve) => stream.once('close', resolve)),
    ),
  );
}
