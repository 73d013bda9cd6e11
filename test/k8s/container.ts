// One container of a pod: started, asked by its probes, started again when it ends by itself, ended when its pod goes.
//
//   waiting ──launched──▶ running ──ended by itself, or by its liveness probe──▶ waiting (a pause) ──▶ …
//                            └──terminate()──▶ draining ──exit, or SIGKILL after the grace period──▶ terminated
//
// Within "running" it is started as soon as its startup probe has succeeded, and ready while its readiness probe does.
import type { ChildProcess } from 'node:child_process';
import { appendFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { descendantsOf } from '../support/processes.ts';
import { until } from '../support/until.ts';
import type { Container, Probe } from './kube-objects.ts';
import { ask, runIn } from './probes.ts';

export type ContainerState = 'waiting' | 'running' | 'draining' | 'terminated';

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Whether its pod was being deleted. */
  readonly wasAsked: boolean;
  /** From SIGTERM to its end, in seconds; 0 for one that was not asked. */
  readonly drainSeconds: number;
  /** Whether the grace period was over. */
  readonly wasKilled: boolean;
}

export interface ContainerSettings {
  readonly container: Container;
  readonly address: string;
  /** Gets what the program prints. */
  readonly logFile: string;
  launch(): ChildProcess;
  /** Told after each change of state, and of what probes say. */
  onChange(): void;
  onEnding(ending: Ending): void;
  /** An answer of a probe that differs from the one before. */
  onProbe(kind: ProbeKind, problem: string | null): void;
}

export type ProbeKind = 'startup' | 'readiness' | 'liveness';

/** Programs that end as another one, which makes them the container's. */
const PREPARING = ['', 'nsenter', 'unshare', 'bash', 'chroot', 'setpriv', 'env'];
const RESTART_MS = 1_000;
const LAUNCH_MS = 20_000;
/** How long a process may take to be gone after SIGKILL. */
const GONE_MS = 10_000;

export class ContainerRun {
  state: ContainerState = 'waiting';
  isStarted = false;
  isReady = false;
  restarts = 0;
  lastEnding: Ending | null = null;
  startedAt = '';
  readonly #settings: ContainerSettings;
  readonly #life = new AbortController();
  #child: ChildProcess | null = null;
  #pid = 0;
  #drainFrom = 0;
  #wasKilled = false;
  #done: Promise<void> = Promise.resolve();

  constructor(settings: ContainerSettings) {
    this.#settings = settings;
  }

  get name(): string {
    return this.#settings.container.name;
  }

  get image(): string {
    return this.#settings.container.image;
  }

  /** Of the container's first process, as this machine counts them; 0 while there is none. */
  get pid(): number {
    return this.#pid;
  }

  /** Starts it, and keeps it running. */
  start(): void {
    this.#done = this.#keep();
  }

  /** Runs it once to its end, as an init container. @throws when it does not end with 0. */
  async runOnce(): Promise<void> {
    const ending = await this.#runLife();
    if (ending.code !== 0) throw new Error(`init container ${this.name} ended with ${ending.code ?? ending.signal}`);
  }

  /** The preStop hook, SIGTERM, and SIGKILL at the end of the grace period. Resolves when it is gone. */
  async terminate(graceSeconds: number): Promise<void> {
    if (this.#isEnding()) return this.#done;
    this.state = 'draining';
    this.#drainFrom = performance.now();
    const timer = setTimeout(() => {
      this.#wasKilled = true;
      this.kill();
    }, graceSeconds * 1000);
    this.#settings.onChange();
    await this.#stopHook(graceSeconds);
    this.#signal('SIGTERM');
    this.#life.abort();
    await this.#done;
    clearTimeout(timer);
  }

  /** Ends it and all that it started, at once. */
  kill(): void {
    for (const pid of descendantsOf(this.#child?.pid ?? 0)) send(pid, 'SIGKILL');
  }

  async #keep(): Promise<void> {
    while (!this.#isEnding()) {
      await this.#runLife();
      if (this.#isEnding()) break;
      this.state = 'waiting';
      this.restarts += 1;
      this.#settings.onChange();
      await pause(RESTART_MS, undefined, { signal: this.#life.signal }).catch(() => {});
    }
    this.state = 'terminated';
    this.#settings.onChange();
  }

  async #runLife(): Promise<Ending> {
    const { launch, logFile, onChange, onEnding } = this.#settings;
    const child = launch();
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => appendFileSync(logFile, chunk));
    const exited = new Promise<readonly [number | null, NodeJS.Signals | null]>((resolve) => {
      child.once('error', () => resolve([127, null]));
      child.once('exit', (code, signal) => resolve([code, signal]));
    });
    const ended = new AbortController();
    void exited.then(() => ended.abort());
    await until(`${this.name} has a process`, () => ended.signal.aborted || this.#findPid() !== 0, LAUNCH_MS);
    this.startedAt = new Date().toISOString();
    if (this.#isEnding()) this.#signal('SIGTERM');
    else this.state = 'running';
    void this.#askProbes(ended.signal);
    onChange();
    const [code, signal] = await exited;
    const pid = this.#pid;
    this.#pid = 0;
    this.#child = null;
    this.isStarted = false;
    this.isReady = false;
    const wasAsked = this.#isEnding();
    const drainSeconds = wasAsked ? (performance.now() - this.#drainFrom) / 1000 : 0;
    this.lastEnding = { code, signal, wasAsked, drainSeconds, wasKilled: this.#wasKilled };
    await until(`process ${pid} of ${this.name} is gone`, () => descendantsOf(pid).length === 0, GONE_MS);
    onEnding(this.lastEnding);
    return this.lastEnding;
  }

  async #stopHook(graceSeconds: number): Promise<void> {
    const { exec, sleep } = this.#settings.container.lifecycle?.preStop ?? {};
    if (this.#pid === 0) return;
    if (exec !== undefined) await runIn(this.#pid, exec.command, graceSeconds * 1000);
    if (sleep !== undefined) await pause(Math.min(sleep.seconds, graceSeconds) * 1000);
  }

  #isEnding(): boolean {
    return this.state === 'draining' || this.state === 'terminated';
  }

  /** The first process is the program itself as soon as what makes its place has become it. */
  #findPid(): number {
    const pid = descendantsOf(this.#child?.pid ?? 0)[0] ?? 0;
    this.#pid = pid !== 0 && !PREPARING.includes(programOf(pid)) ? pid : 0;
    return this.#pid;
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#pid !== 0) send(this.#pid, signal);
  }

  async #askProbes(ended: AbortSignal): Promise<void> {
    const { container, onChange } = this.#settings;
    const { startupProbe, readinessProbe, livenessProbe } = container;
    if (startupProbe !== undefined) {
      const isStarted = await this.#poll('startup', startupProbe, ended, (_isWell, isSettled) => isSettled);
      if (!isStarted) return;
    }
    this.isStarted = true;
    this.isReady = readinessProbe === undefined;
    onChange();
    if (readinessProbe !== undefined)
      void this.#poll('readiness', readinessProbe, ended, (isWell) => {
        if (this.isReady === isWell) return false;
        this.isReady = isWell;
        onChange();
        return false;
      });
    if (livenessProbe !== undefined) void this.#poll('liveness', livenessProbe, ended, () => false);
  }

  /** Asks again and again until `onAnswer` says that it is enough: it is told of each change that its thresholds let
   * through. A startup or liveness probe that fails so often that it counts ends the process.
   * @returns false when the container ended before. */
  async #poll(
    kind: ProbeKind,
    probe: Probe,
    ended: AbortSignal,
    onAnswer: (isWell: boolean, isSettled: boolean) => boolean,
  ): Promise<boolean> {
    const { container, address, onProbe } = this.#settings;
    const { periodSeconds = 10, failureThreshold = 3, successThreshold = 1, initialDelaySeconds = 0 } = probe;
    const wait = (seconds: number) => pause(seconds * 1000, undefined, { signal: ended }).catch(() => {});
    let last: string | null | undefined;
    let inARow = 0;
    await wait(initialDelaySeconds);
    while (!ended.aborted) {
      // A pod that goes is asked for its readiness alone.
      if (kind !== 'readiness' && this.#isEnding()) return false;
      const problem = await ask(probe, container, address, this.#pid);
      if (ended.aborted) break;
      const isWell = problem === null;
      inARow = last !== undefined && isWell === (last === null) ? inARow + 1 : 1;
      if (last === undefined || isWell !== (last === null)) onProbe(kind, problem);
      last = problem;
      if (isWell && inARow >= successThreshold && onAnswer(true, true)) return true;
      if (!isWell && inARow >= failureThreshold) {
        if (kind !== 'readiness') this.#signal('SIGTERM');
        onAnswer(false, false);
      }
      await wait(periodSeconds);
    }
    return false;
  }
}

function programOf(pid: number): string {
  try {
    return path.basename(readlinkSync(`/proc/${pid}/exe`));
  } catch {
    return '';
  }
}

/** A process may be gone before its signal. */
function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code !== 'ESRCH') throw caught;
  }
}
