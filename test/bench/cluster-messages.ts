// What the processes of `npm run bench:cluster` say to each other over the channels between parent and child.

export interface WorkersStart {
  readonly kind: 'workers';
  readonly nats: string;
  /** Simulated workers in this process. */
  readonly count: number;
  readonly fisherMs: number;
  readonly stepMs: number;
}

export interface CoordinatorStart {
  readonly kind: 'coordinator';
  readonly nats: string;
  readonly workers: number;
  readonly jobs: number;
  /** Coordinators of this run; the first one submits the jobs. */
  readonly coordinators: number;
  readonly isFirst: boolean;
  /** Jobs that all coordinators together run at once for each worker; null: as the product does. */
  readonly jobsPerWorker: number | null;
}

export type Start = WorkersStart | CoordinatorStart;

/** Asked of simulated workers: to count from now on, and after the run. */
export interface Question {
  readonly kind: 'begin' | 'report';
}

export interface WorkersReport {
  readonly kind: 'workers-report';
  /** Milliseconds that this process's workers computed, in each tenth of a second since the epoch. */
  readonly busy: readonly (readonly [tenth: number, ms: number])[];
  readonly tasks: number;
  readonly cpuSeconds: number;
}

export interface CoordinatorReport {
  readonly kind: 'coordinator-report';
  /** Date.now() when the first job was claimed, when fewer of them than workers were left, and when the last one was done. */
  readonly startMs: number;
  readonly thinMs: number;
  readonly endMs: number;
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly tasks: number;
  readonly repeated: number;
}

export interface Ready {
  readonly kind: 'ready';
}

/** Said by the first coordinator when the warm-up is over. */
export interface Warm {
  readonly kind: 'warm';
}

export type Answer = Ready | Warm | WorkersReport | CoordinatorReport;

/** Says something to the parent; resolves when it has gone out. */
export function tell(answer: Answer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) reject(new Error('not started by npm run bench:cluster'));
    else process.send(answer, undefined, {}, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
}

export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
