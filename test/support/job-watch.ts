// What a test sees of the cluster's jobs: their records and events, straight from NATS, over a connection of its own. It
// survives whatever the test does to NATS, and asks nothing of the coordinators.

import type { JobEvent, Stage } from '../../coordinator/job-events.ts';
import type { LifeEvent } from '../../coordinator/jobs/held-job.ts';
import type { JobRecord } from '../../coordinator/jobs/job-record.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { connectBus } from '../../shared/bus/nats-bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { until } from './until.ts';

/** An event as it is stored. */
export interface LoggedEvent {
  readonly sequence: number;
  readonly attempt: number;
  readonly event: JobEvent | LifeEvent;
}

const ENDED = ['done', 'failed', 'cancelled'];

export class JobWatch {
  readonly bus: Bus;
  readonly #records = new Map<string, JobRecord>();
  readonly #events = new Map<string, LoggedEvent[]>();
  readonly #follows = new Map<string, AbortController>();
  readonly #abort = new AbortController();
  /** States that each record was seen in, in order, without repetitions; one that lasted a moment only may not be among them. */
  readonly #states = new Map<string, string[]>();

  private constructor(bus: Bus) {
    this.bus = bus;
  }

  /** Connects, and has been told of every job when it resolves. Whoever opens it closes it.
   * @param natsUrls separated by commas. */
  static async open(natsUrls: string): Promise<JobWatch> {
    const bus = await connectBus({ servers: natsUrls.split(','), credentials: null, tls: null }, { name: 'test' });
    const watch = new JobWatch(bus);
    await bus.jobs.watch('job.', ({ key, value }) => watch.#onRecord(key, value), watch.#abort.signal);
    return watch;
  }

  /** The record as last seen. */
  record(id: string): JobRecord {
    const record = this.#records.get(id);
    if (record === undefined) throw new EspalierError('job_not_found', id);
    return record;
  }

  recordOrNull(id: string): JobRecord | null {
    return this.#records.get(id) ?? null;
  }

  get records(): readonly JobRecord[] {
    return [...this.#records.values()];
  }

  states(id: string): readonly string[] {
    return this.#states.get(id) ?? [];
  }

  /** Events of a job so far; the first call begins to follow them. */
  events(id: string): readonly LoggedEvent[] {
    const known = this.#events.get(id);
    if (known !== undefined) return known;
    const events: LoggedEvent[] = [];
    this.#events.set(id, events);
    const onEvent = (sequence: number, bytes: Uint8Array) => {
      events.push({ sequence, ...(JSON.parse(Buffer.from(bytes).toString()) as Omit<LoggedEvent, 'sequence'>) });
    };
    const ended = new AbortController();
    this.#follows.set(id, ended);
    this.bus.events.follow(id, 0, onEvent, AbortSignal.any([ended.signal, this.#abort.signal])).catch(() => {});
    return events;
  }

  /** Hears no more of the job's events; those that it has stay. */
  unfollow(id: string): void {
    this.#follows.get(id)?.abort();
    this.#follows.delete(id);
  }

  /** Resolves as soon as a stage of any attempt has begun and, of tuning, this many steps are done. */
  async reached(id: string, stage: Stage, steps = 0, deadlineMs = 60_000): Promise<void> {
    const isThere = ({ event }: LoggedEvent) =>
      (steps === 0 && event.kind === 'stage-started' && event.stage === stage) ||
      (event.kind === 'stage-progress' && event.stage === stage && event.done >= steps);
    await until(
      `${id} reaches ${stage}${steps > 0 ? ` ${steps}` : ''}`,
      () => {
        this.#failIfFailed([id]);
        return this.events(id).some(isThere);
      },
      deadlineMs,
    );
  }

  /** Resolves as soon as a stage has ended, in any attempt. */
  finished(id: string, stage: Stage, deadlineMs = 60_000): Promise<void> {
    const isThere = ({ event }: LoggedEvent) => event.kind === 'stage-finished' && event.stage === stage;
    return until(`${id} is through with ${stage}`, () => this.events(id).some(isThere), deadlineMs);
  }

  /** Resolves when all have ended, however. */
  async ended(ids: readonly string[], deadlineMs: number): Promise<void> {
    const open = () => ids.filter((id) => !ENDED.includes(this.#records.get(id)?.state ?? ''));
    try {
      await until('jobs to end', () => open().length === 0, deadlineMs);
    } catch {
      const told = open().map((id) => {
        const { state, attempt, lease, stages } = this.record(id);
        const last = this.events(id).slice(-5);
        return `${id}: ${JSON.stringify({ state, attempt, lease, stages: Object.keys(stages), last })}`;
      });
      throw new Error(`${told.length} of ${ids.length} jobs have not ended in ${deadlineMs} ms:\n${told.join('\n')}`);
    }
  }

  /** Resolves when all are done. @throws as soon as one ends in another way. */
  async done(ids: readonly string[], deadlineMs: number): Promise<void> {
    await this.ended(ids, deadlineMs);
    this.#failIfFailed(ids);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.bus.close();
  }

  #failIfFailed(ids: readonly string[]): void {
    for (const id of ids) {
      const record = this.#records.get(id);
      if (record?.state === 'failed' || record?.state === 'cancelled')
        throw new Error(`${id} ended ${record.state}: ${JSON.stringify(record.failure)}`);
    }
  }

  #onRecord(key: string, value: Uint8Array | null): void {
    const id = key.replace(/^job\./, '');
    if (value === null) {
      this.#records.delete(id);
      return;
    }
    const record = recordIn(value);
    if (record === null) return;
    this.#records.set(id, record);
    const states = this.#states.get(id) ?? [];
    if (states.at(-1) !== record.state) states.push(record.state);
    this.#states.set(id, states);
  }
}

/** Null for what is no record: tests store such things, too. */
function recordIn(value: Uint8Array): JobRecord | null {
  try {
    const record = JSON.parse(Buffer.from(value).toString()) as JobRecord | null;
    return typeof record?.state === 'string' ? record : null;
  } catch {
    return null;
  }
}

/** What a job has made, in a form that two runs can be compared by: digests of all files but the report and
 * the model card, which hold measured times. */
export function resultDigests({ results }: JobRecord): Readonly<Record<string, string>> {
  const files = results.flatMap(({ budget, files }) =>
    files.filter(({ name }) => !/^(report|README)/.test(name)).map(({ name, digest }) => [`${budget}/${name}`, digest]),
  );
  return Object.fromEntries(files.sort(([a], [b]) => (a < b ? -1 : 1)));
}
