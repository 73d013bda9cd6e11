// One process of a test's cluster, started by name: killed, frozen and started again under the same name and port. Its log
// and the process ids of all its lives are kept.
//
//   off ──start──▶ starting ──serves──▶ serving ⇄ frozen
//    ▲                 └──────────────────┴──ended, by a test or by itself──▶ off
import { type ChildProcess, spawn } from 'node:child_process';
import { descendantsOf } from './processes.ts';
import { until } from './until.ts';

const START_MS = 60_000;
/** Longest that a process takes to end by itself: its drain and what comes after. */
const END_MS = 20_000;

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProcessPlan {
  readonly command: string;
  /** @param port that the process had before; 0 at first. */
  readonly args: (port: number) => readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** The port that the log of this life tells of, or null while it does not serve yet. */
  readonly portIn: (log: string) => number | null;
}

export class ClusterProcess {
  readonly name: string;
  readonly #plan: ProcessPlan;
  readonly #pids = new Set<number>();
  readonly #lives: string[] = [];
  #child: ChildProcess | null = null;
  #ended: Promise<Ending> = Promise.resolve({ code: null, signal: null });
  #port = 0;

  constructor(name: string, plan: ProcessPlan) {
    this.name = name;
    this.#plan = plan;
  }

  get port(): number {
    return this.#port;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** How often it was started. */
  get starts(): number {
    return this.#lives.length;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Settles when this life ends. */
  get ended(): Promise<Ending> {
    return this.#ended;
  }

  /** Of all its lives, and of every process that one of them had as a child when it was signalled. */
  get pids(): readonly number[] {
    return [...this.#pids];
  }

  /** What it has logged in all its lives. */
  log(): string {
    return this.#lives.join('');
  }

  /** What it has logged since it was started last. */
  lastLog(): string {
    return this.#lives.at(-1) ?? '';
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    this.launch();
    await until(
      `${this.name} serves`,
      () => {
        if (!this.isRunning) throw new Error(`${this.name} ended before it served: ${this.lastLog()}`);
        const port = this.#plan.portIn(this.lastLog());
        if (port !== null) this.#port = port;
        return port !== null;
      },
      START_MS,
    );
  }

  /** Starts it without waiting. */
  launch(): void {
    if (this.isRunning) throw new Error(`${this.name} runs already`);
    const { command, args, env } = this.#plan;
    const child = spawn(command, args(this.#port), { stdio: ['ignore', 'pipe', 'pipe'], env });
    const life = this.#lives.push('') - 1;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#lives[life] += text;
      });
    this.#child = child;
    this.#pids.add(child.pid ?? 0);
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  /** `kill -9`. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#signal('SIGKILL');
    await this.#ended;
  }

  /** Stops it where it stands: its connections stay open and answer nothing. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** SIGTERM, and SIGKILL when that does not end it in time. */
  async stop(): Promise<Ending> {
    if (!this.isRunning) return this.#ended;
    this.thaw();
    this.#signal('SIGTERM');
    const timer = setTimeout(() => this.#signal('SIGKILL'), END_MS);
    const ending = await this.#ended;
    clearTimeout(timer);
    return ending;
  }

  /** Ends it at once, whatever it is; for the end of a test that failed. */
  drop(): void {
    if (this.isRunning) this.#signal('SIGKILL');
  }

  #signal(signal: NodeJS.Signals): void {
    for (const pid of descendantsOf(this.pid)) this.#pids.add(pid);
    this.#child?.kill(signal);
  }
}
