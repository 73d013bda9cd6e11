// Follows jobs until all of them have ended, over coordinators that come and go.
import { setTimeout as pause } from 'node:timers/promises';
import { EspalierError, toEspalierError } from '../shared/errors.ts';
import type { ClusterClient, Job, JobEvent } from './client/cluster-client.ts';
import type { CliContext } from './context.ts';
import { jobDetailsJson, parsed } from './job-json.ts';
import { WatchView } from './views/watch-view.ts';
import { readEvent } from './views/watched-event.ts';

const POLL_MS = 1_000;
/** How long no coordinator may answer. */
const PATIENCE_MS = 120_000;
/** Losses closer together than this are told of once. */
const LOST_AGAIN_MS = 5_000;
/** Jobs whose events are followed at a time. */
const MOST_FOLLOWED = 64;
const MOST_JOBS = 10_000;

export interface WatchTarget {
  /** Whole ids; empty: all jobs of the campaign. */
  readonly ids: readonly string[];
  readonly campaign: string | null;
}

/** Shows what happens until all jobs have ended, as JSON lines where `json` is set. @returns them, as they ended. */
export async function watchJobs(
  client: ClusterClient,
  target: WatchTarget,
  context: CliContext,
  json: boolean,
): Promise<Job[]> {
  const { stdout, env, now } = context;
  const view = json ? null : new WatchView({ sink: stdout, terminal: env.TERM, now });
  const close = () => view?.close();
  const forget = context.onExit(close);
  const watch = new JobsWatch(client, target, context, view);
  try {
    return await watch.run();
  } finally {
    watch.stop();
    close();
    forget();
  }
}

/** What became of them, and what to do next. */
export function tellEnd({ stdout }: CliContext, jobs: readonly Job[], campaign: string | null): void {
  const counts = ['done', 'failed', 'cancelled'].map((state) => ({
    state,
    count: jobs.filter((job) => job.state === state).length,
  }));
  const told = counts.flatMap(({ state, count }) => (count > 0 ? [`${count} ${state}`] : []));
  if (jobs.length > 1) stdout.write(`${jobs.length} jobs: ${told.join(', ')}\n`);
  const [first] = jobs;
  if (counts[0].count === 0) return;
  const target = campaign === null ? first.id : `--campaign ${campaign}`;
  stdout.write(`Next: espalier fetch ${target} --out DIR\n`);
}

/** @throws EspalierError "job_failed" when one of these failed, "cancelled" when one was cancelled. */
export function requireDone(jobs: readonly Job[]): void {
  const ended = (state: string) => jobs.filter((job) => job.state === state);
  const [failed, cancelled] = [ended('failed'), ended('cancelled')];
  const count = (some: readonly Job[]) => (jobs.length === 1 ? 'the job' : `${some.length} of ${jobs.length} jobs`);
  const [first] = failed;
  if (first !== undefined) {
    const reason = `${first.name}: [${first.error?.code ?? 'internal'}] ${first.error?.message ?? ''}`;
    throw new EspalierError('job_failed', `${count(failed)} failed: ${reason}`, {
      action: `see \`espalier logs ${first.id}\``,
    });
  }
  if (cancelled.length > 0) {
    const verb = cancelled.length > 1 ? 'were' : 'was';
    const message = `${count(cancelled)} ${verb} cancelled: ${cancelled[0].name}`;
    throw new EspalierError('cancelled', message, { action: `\`espalier retry ${cancelled[0].id}\` queues it again` });
  }
}

export function hasEnded({ state }: Job): boolean {
  return state !== 'queued' && state !== 'running';
}

class JobsWatch {
  readonly #client: ClusterClient;
  readonly #target: WatchTarget;
  readonly #context: CliContext;
  readonly #view: WatchView | null;
  readonly #stopped = new AbortController();
  /** Jobs whose events come in now. */
  readonly #followed = new Map<string, Promise<void>>();
  /** Last sequence number by job. */
  readonly #sequences = new Map<string, number>();
  readonly #failures: EspalierError[] = [];
  #lostMs = Number.NEGATIVE_INFINITY;

  constructor(client: ClusterClient, target: WatchTarget, context: CliContext, view: WatchView | null) {
    this.#client = client;
    this.#target = target;
    this.#context = context;
    this.#view = view;
  }

  async run(): Promise<Job[]> {
    const signal = AbortSignal.any([this.#context.signal, this.#stopped.signal]);
    let isFirst = true;
    for (;;) {
      const jobs = await this.#patiently(() => this.#read());
      this.#view?.onJobs(jobs);
      for (const job of jobs) {
        // What had ended before is told by its state alone, unless it is all that was asked for.
        const isOver = isFirst && hasEnded(job) && this.#target.campaign !== null;
        if (isOver) this.#sequences.set(job.id, Number.POSITIVE_INFINITY);
        if (!hasEnded(job) && this.#sequences.get(job.id) === Number.POSITIVE_INFINITY) this.#sequences.delete(job.id);
        if (job.state !== 'queued' || this.#target.campaign === null) this.#follow(job, signal);
      }
      isFirst = false;
      const [failure] = this.#failures;
      if (failure !== undefined) throw failure;
      const isSettled = jobs.every((job) => hasEnded(job) && this.#isFollowedToEnd(job.id));
      if (isSettled) return this.#finish(jobs);
      await Promise.race([...this.#followed.values(), pause(POLL_MS, undefined, { signal }).catch(() => {})]);
      this.#context.signal.throwIfAborted();
    }
  }

  stop(): void {
    this.#stopped.abort(new EspalierError('cancelled', 'the watch has ended'));
  }

  #read(): Promise<Job[]> {
    const { ids, campaign } = this.#target;
    if (campaign === null) return Promise.all(ids.map((id) => this.#client.get(id)));
    return this.#client.list({ campaign, states: [] }, MOST_JOBS).then(({ jobs }) => jobs);
  }

  #isFollowedToEnd(id: string): boolean {
    return this.#sequences.has(id) && !this.#followed.has(id);
  }

  #follow(job: Job, signal: AbortSignal): void {
    const { id } = job;
    if (this.#followed.has(id) || this.#followed.size >= MOST_FOLLOWED) return;
    const after = this.#sequences.get(id);
    if (after !== undefined && hasEnded(job)) return;
    const onEvent = (event: JobEvent) => {
      this.#sequences.set(id, event.sequence);
      this.#tell(job, event);
    };
    const onLost = (error: EspalierError) => this.#noteLost(error);
    const watch = this.#client
      .watch(id, { after: after ?? 0, keptOnly: false, signal, onEvent, onLost })
      .catch((caught: unknown) => {
        // A job that was deleted meanwhile is missed by the next look at all of them.
        const error = toEspalierError(caught);
        if (!signal.aborted && error.code !== 'job_not_found') this.#failures.push(error);
      })
      .finally(() => {
        this.#followed.delete(id);
        if (!this.#sequences.has(id)) this.#sequences.set(id, 0);
      });
    this.#followed.set(id, watch);
  }

  #tell({ id, name }: Job, { sequence, time, attempt, eventJson }: JobEvent): void {
    if (this.#view === null) {
      const line = { job: id, name, sequence, time, attempt, event: parsed(eventJson) };
      this.#context.stdout.write(`${JSON.stringify(line)}\n`);
      return;
    }
    const event = readEvent(eventJson);
    if (event !== null) this.#view.onEvent(id, time, event);
  }

  /** One coordinator that goes away is lost to all jobs that are followed. */
  #noteLost({ message }: EspalierError): void {
    const nowMs = this.#context.now();
    if (nowMs - this.#lostMs > LOST_AGAIN_MS) this.#view?.note(`${message}; looking for a coordinator`);
    this.#lostMs = nowMs;
  }

  /** The records of the jobs: lists leave results out, which only a user of JSON or of a single job looks at. */
  async #finish(jobs: readonly Job[]): Promise<Job[]> {
    if (this.#view !== null && this.#target.campaign !== null) return [...jobs];
    const final: Job[] = [];
    for (const { id, name } of jobs) {
      const job = await this.#patiently(() => this.#client.get(id));
      final.push(job);
      if (this.#view === null)
        this.#context.stdout.write(`${JSON.stringify({ job: id, name, final: jobDetailsJson(job) })}\n`);
    }
    return final;
  }

  /** Asks again while no coordinator answers, for a while. */
  async #patiently<Result>(work: () => Promise<Result>): Promise<Result> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await work();
      } catch (caught) {
        const { code } = toEspalierError(caught);
        const isAway = code === 'coordinator_unavailable' || code === 'deadline' || code === 'bus_unavailable';
        this.#context.signal.throwIfAborted();
        if (!isAway || this.#sequences.size === 0 || Date.now() > end) throw caught;
      }
    }
  }
}
