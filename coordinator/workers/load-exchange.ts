// Tells other coordinators what this one has at home where, and hears the same of them.
import { randomUUID } from 'node:crypto';
import type { Bus } from '../../shared/bus/bus.ts';
import { LOAD_REPORT_MS, LOAD_REPORT_SCHEMA, LOAD_SUBJECT, type LoadReport } from '../../shared/bus/load-report.ts';
import type { Clock } from './clock.ts';
import { readLoadReport } from './load-report-reader.ts';
import { OtherLoads, type OthersLoad } from './other-loads.ts';

/** A change is told after this time, with what else has changed by then. */
const SOON_MS = 100;

export type OwnLoad = Required<Pick<LoadReport, 'jobs' | 'homes' | 'pendingTasks'>>;

/** Whose load is told. */
export interface LoadHolder {
  readonly load: OwnLoad;
  /** Others have changed theirs. */
  othersChanged(): void;
}

export class LoadExchange {
  readonly #bus: Pick<Bus, 'subscribe' | 'publish'>;
  readonly #clock: Clock;
  readonly #id = randomUUID();
  readonly #others: OtherLoads;
  #holder: LoadHolder | null = null;
  #unsubscribe = () => {};
  #stopTimer = () => {};
  #stopSoon: (() => void) | null = null;
  #toldLoad = false;

  constructor(bus: Pick<Bus, 'subscribe' | 'publish'>, clock: Clock) {
    this.#bus = bus;
    this.#clock = clock;
    this.#others = new OtherLoads(this.#id, clock);
  }

  get others(): OthersLoad {
    return this.#others;
  }

  /** Tasks that wait for a worker, of all coordinators. */
  get pendingTasks(): number {
    return (this.#holder?.load.pendingTasks ?? 0) + this.#others.pendingTasks;
  }

  /** Listens and tells from now on. */
  begin(holder: LoadHolder): void {
    this.#holder = holder;
    this.#unsubscribe = this.#bus.subscribe(`${LOAD_SUBJECT}.*`, (subject, payload) => {
      const report = readLoadReport(subject, payload);
      if (report !== null && this.#others.take(report)) holder.othersChanged();
    });
    this.#tick(holder);
  }

  /** The own load has changed. */
  changed(): void {
    const holder = this.#holder;
    if (holder === null) return;
    this.#stopSoon ??= this.#clock.after(SOON_MS, () => {
      this.#stopSoon = null;
      this.#tell(holder.load);
    });
  }

  close(): void {
    this.#unsubscribe();
    this.#stopTimer();
    this.#stopSoon?.();
    this.#tell({ jobs: [], homes: [], pendingTasks: 0 });
  }

  #tick(holder: LoadHolder): void {
    if (this.#others.forgetSilent()) holder.othersChanged();
    const own = holder.load;
    // Once more when the last of it has gone.
    if (hasLoad(own) || this.#toldLoad) this.#tell(own);
    this.#stopTimer = this.#clock.after(LOAD_REPORT_MS, () => this.#tick(holder));
  }

  #tell(own: OwnLoad): void {
    this.#toldLoad = hasLoad(own);
    const report: LoadReport = { schema: LOAD_REPORT_SCHEMA, coordinatorId: this.#id, ...own };
    this.#bus.publish(`${LOAD_SUBJECT}.${this.#id}`, Buffer.from(JSON.stringify(report)));
  }
}

function hasLoad({ homes, pendingTasks }: OwnLoad): boolean {
  return homes.length > 0 || pendingTasks > 0;
}
