// Samples what must not grow with the number of jobs, and fits how much each grows with every job: within each life of a
// process, since a kill sets everything back.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from '../support/cluster.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { natsState, strayFiles } from '../support/leftovers.ts';

const EVERY_MS = 2_000;
/** A process that has just started still loads code and fills what it keeps for good. */
const WARM_UP_MS = 20_000;
/** Jobs of a life whose samples do not count: while the first come, everything grows to what it needs. */
const SETTLE_JOBS = 50;
/** With fewer jobs between the first and the last sample that count, a slope is noise. */
const MIN_JOBS = 50;

interface Bound {
  /** Growth a job that is still no leak. */
  readonly perJob: number;
  readonly unit: string;
}

/** Memory: a megabyte for ten jobs would be 200 MB in a soak of 2,000. The others must not grow at all; what is left is
 * the noise of sampling while jobs come and go. */
const BOUNDS: Readonly<Record<string, Bound>> = {
  'coordinator memory': { perJob: 100_000, unit: 'B' },
  'worker memory': { perJob: 100_000, unit: 'B' },
  'NATS memory': { perJob: 100_000, unit: 'B' },
  'coordinator open files': { perJob: 0.05, unit: '' },
  'worker open files': { perJob: 0.05, unit: '' },
  'NATS open files': { perJob: 0.05, unit: '' },
  'NATS connections': { perJob: 0.02, unit: '' },
  'NATS consumers': { perJob: 0.02, unit: '' },
  'half-written files': { perJob: 0.02, unit: '' },
  'wake messages': { perJob: 0.05, unit: '' },
};

interface Point {
  readonly jobs: number;
  readonly value: number;
}

export class Sampler {
  readonly #cluster: Cluster;
  readonly #jobs: () => number;
  /** By what is measured, then by the life of a process that it was measured in. */
  readonly #series = new Map<string, Map<string, Point[]>>();
  readonly #abort = new AbortController();
  readonly #startOf = new Map<string, number>();
  #running: Promise<void> = Promise.resolve();

  constructor(cluster: Cluster, jobs: () => number) {
    this.#cluster = cluster;
    this.#jobs = jobs;
  }

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  /** What has grown by more than its bound. */
  problems(): string[] {
    return this.#slopes()
      .filter(({ slope, bound }) => slope !== null && slope > bound.perJob)
      .map(({ name, slope, bound }) => `${name}: grows by ${text(slope, bound)} a job, more than ${bound.perJob}`);
  }

  table(): string {
    const rows = this.#slopes().map(({ name, slope, bound, last, lives }) => {
      const cells = [name.padEnd(24), text(slope, bound).padStart(12), text(bound.perJob, bound).padStart(10)];
      return [...cells, text(last, bound).padStart(14), String(lives).padStart(6)].join(' ');
    });
    return [`${'grows a job'.padStart(37)} ${'bound'.padStart(10)} ${'at the end'.padStart(14)}  lives`, ...rows].join(
      '\n',
    );
  }

  #slopes() {
    return Object.entries(BOUNDS).map(([name, bound]) => {
      const lives = [...(this.#series.get(name)?.values() ?? [])];
      const settled = lives.map((points) => points.filter(({ jobs }) => jobs >= points[0].jobs + SETTLE_JOBS));
      const long = settled.filter((points) => points.length > 0 && points.at(-1)!.jobs - points[0].jobs >= MIN_JOBS);
      return { name, bound, slope: slopeWithin(long), last: lives.at(-1)?.at(-1)?.value ?? 0, lives: long.length };
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await this.#sample().catch(() => {
        // A process that was killed while it was looked at.
      });
      await pause(EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  async #sample(): Promise<void> {
    const { coordinators, workers, nats } = this.#cluster;
    for (const coordinator of coordinators) this.#sampleProcess('coordinator', coordinator);
    for (const worker of workers) this.#sampleProcess('worker', worker);
    this.#sampleProcess('NATS', nats);
    const { connections, consumers, messages } = await natsState(this.#cluster);
    this.#add('NATS connections', 'all', connections);
    this.#add('NATS consumers', 'all', consumers);
    this.#add('wake messages', 'all', messages.ESPALIER_WAKE ?? 0);
    this.#add('half-written files', 'all', strayFiles(this.#cluster).length);
  }

  #sampleProcess(kind: string, { name, pid, starts, isRunning }: ClusterProcess): void {
    if (!isRunning) return;
    const life = `${name} ${starts}`;
    const start = this.#startOf.get(life) ?? Date.now();
    this.#startOf.set(life, start);
    if (Date.now() - start < WARM_UP_MS) return;
    const [, kilobytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    // Gone at this moment.
    if (kilobytes === undefined) return;
    this.#add(`${kind} memory`, life, Number(kilobytes) * 1024);
    this.#add(`${kind} open files`, life, readdirSync(`/proc/${pid}/fd`).length);
  }

  #add(name: string, life: string, value: number): void {
    const lives = this.#series.get(name) ?? new Map<string, Point[]>();
    const points = lives.get(life) ?? [];
    points.push({ jobs: this.#jobs(), value });
    lives.set(life, points);
    this.#series.set(name, lives);
  }
}

/** Least squares slope of value over jobs, the same in all lives, each with a level of its own; null without data. */
function slopeWithin(lives: readonly (readonly Point[])[]): number | null {
  let covariance = 0;
  let variance = 0;
  for (const points of lives) {
    const meanJobs = points.reduce((sum, { jobs }) => sum + jobs, 0) / points.length;
    const meanValue = points.reduce((sum, { value }) => sum + value, 0) / points.length;
    for (const { jobs, value } of points) {
      covariance += (jobs - meanJobs) * (value - meanValue);
      variance += (jobs - meanJobs) ** 2;
    }
  }
  return variance === 0 ? null : covariance / variance;
}

function text(value: number | null, { unit }: Bound): string {
  if (value === null) return 'too short';
  return unit === 'B' ? `${(value / 1000).toFixed(1)} kB` : value.toFixed(3);
}
