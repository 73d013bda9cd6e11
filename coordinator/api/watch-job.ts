// Jobs.Watch: the kept events of a job after a sequence number, then new ones, until the job has ended and its last event
// was sent. Only a few events wait in memory: a client that reads slowly is sent the rest from the log later.
//
// following ⇄ behind (the client reads slower than events come: what waits is sent, then the log is followed again after it)
// → ending (the job has ended or is gone: what the log still holds is sent) → ended.
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { EventLog } from '../../shared/bus/bus.ts';
import { toEspalierError } from '../../shared/errors.ts';
import { drained } from '../../shared/rpc/back-pressure.ts';
import type { JobEvent as EventMessage } from '../../shared/rpc/generated/espalier/v1/JobEvent.ts';
import type { WatchRequest__Output } from '../../shared/rpc/generated/espalier/v1/WatchRequest.ts';
import type { JobState } from '../jobs/job-record.ts';
import type { JobStore } from '../jobs/job-store.ts';

const MOST_WAITING = 512;
const PAGE = 256;
/** The last event of a job that has ended may come a moment after its record. */
const LAST_EVENT_MS = 2_000;
const ENDED: readonly JobState[] = ['done', 'failed', 'cancelled'];

export interface Watch {
  /** Whole id. */
  readonly job: string;
  readonly after: number;
  /** End after the events that are kept now. */
  readonly keptOnly: boolean;
  readonly events: EventLog;
  readonly store: Pick<JobStore, 'summary' | 'onChange'>;
  readonly call: ServerWritableStream<WatchRequest__Output, EventMessage>;
  readonly signal: AbortSignal;
  readonly lastEventMs?: number;
}

interface Waiting {
  readonly sequence: number;
  readonly event: Uint8Array;
}

/** Sends the events of a job until it has ended. @throws the reason of `signal`, EspalierError "bus_unavailable". */
export async function watchJob(watch: Watch): Promise<void> {
  const end = new JobEnd(watch);
  try {
    let sent = watch.after;
    while (!watch.keptOnly && !end.isReached) sent = await followOnce(watch, sent, end);
    await sendKept(watch, sent);
  } finally {
    end.close();
  }
}

/** Follows the log until the job has ended or the client has fallen behind. @returns the last sequence number sent. */
async function followOnce(watch: Watch, after: number, end: JobEnd): Promise<number> {
  const { job, events, signal } = watch;
  const round = new AbortController();
  const stopped = AbortSignal.any([round.signal, signal, end.signal]);
  const waiting: Waiting[] = [];
  const failures: unknown[] = [];
  let sent = after;
  let wake = () => {};
  const onStop = () => wake();
  stopped.addEventListener('abort', onStop);
  const receive = (sequence: number, event: Uint8Array) => {
    if (stopped.aborted) return;
    if (waiting.length < MOST_WAITING) waiting.push({ sequence, event });
    else round.abort();
    wake();
  };
  events.follow(job, after, receive, stopped).catch((caught: unknown) => {
    failures.push(caught);
    wake();
  });
  try {
    while (!(stopped.aborted && waiting.length === 0)) {
      signal.throwIfAborted();
      const next = waiting.shift();
      if (next !== undefined) {
        await send(watch, next);
        sent = next.sequence;
        if (isLast(next.event)) end.lastEventSent();
      } else if (failures.length > 0) throw toEspalierError(failures[0]);
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (stopped.aborted) resolve();
        });
    }
    signal.throwIfAborted();
    return sent;
  } finally {
    stopped.removeEventListener('abort', onStop);
    round.abort();
  }
}

async function sendKept(watch: Watch, after: number): Promise<void> {
  const { job, events, signal } = watch;
  for (let last = after, page = await events.read(job, last, PAGE); page.length > 0; ) {
    for (const next of page) {
      signal.throwIfAborted();
      await send(watch, next);
      last = next.sequence;
    }
    page = await events.read(job, last, PAGE);
  }
}

/** Knows when a watch ends: when the job has ended and its last event was sent, or did not come in time. */
class JobEnd {
  readonly #watch: Watch;
  readonly #reached = new AbortController();
  readonly #stopListening: () => void;
  #isLastSent = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(watch: Watch) {
    this.#watch = watch;
    this.#stopListening = watch.store.onChange((id) => {
      if (id === watch.job) this.#look();
    });
    this.#look();
  }

  get signal(): AbortSignal {
    return this.#reached.signal;
  }

  get isReached(): boolean {
    return this.#reached.signal.aborted;
  }

  /** An event of an earlier end counts only if the job was not queued again since. */
  lastEventSent(): void {
    this.#isLastSent = true;
    this.#look();
  }

  close(): void {
    this.#stopListening();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #look(): void {
    const job = this.#watch.store.summary(this.#watch.job);
    const hasEnded = job === null || ENDED.includes(job.state);
    if (!hasEnded) {
      this.#isLastSent = false;
      if (this.#timer !== null) clearTimeout(this.#timer);
      this.#timer = null;
    } else if (job === null || this.#isLastSent) this.#reached.abort();
    else this.#timer ??= setTimeout(() => this.#reached.abort(), this.#watch.lastEventMs ?? LAST_EVENT_MS);
  }
}

async function send({ call }: Watch, { sequence, event }: Waiting): Promise<void> {
  const message = decode(event);
  if (message === null) return;
  if (!call.write({ sequence, ...message })) await drained(call);
}

/** An event as EventWriter stores it; null for anything else, which a later version may have written. */
function decode(bytes: Uint8Array): { time: string; attempt: number; eventJson: string } | null {
  try {
    const { time, attempt, event } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    if (typeof time !== 'string' || typeof attempt !== 'number' || typeof event !== 'object') return null;
    return { time, attempt, eventJson: JSON.stringify(event) };
  } catch {
    return null;
  }
}

function isLast(bytes: Uint8Array): boolean {
  const message = decode(bytes);
  if (message === null) return false;
  const { kind, state } = JSON.parse(message.eventJson) as { kind?: string; state?: JobState };
  return kind === 'state' && state !== undefined && ENDED.includes(state);
}
