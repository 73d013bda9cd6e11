// Events of jobs: one stream for all, one subject a job, the oldest dropped first.
import { EspalierError } from '../errors.ts';
import type { EventLog } from './bus.ts';
import type { JetStream } from './jet-stream.ts';
import { readOrdered } from './ordered-reader.ts';
import { EVENTS_STREAM, EVENTS_SUBJECT } from './streams.ts';

const ID = /^[A-Za-z0-9_-]+$/;
const BATCH = 256;

export class NatsEventLog implements EventLog {
  readonly #jetStream: JetStream;

  constructor(jetStream: JetStream) {
    this.#jetStream = jetStream;
  }

  async append(job: string, event: Uint8Array): Promise<number> {
    return (await this.#jetStream.store(subjectOf(job), event)).seq;
  }

  follow(
    job: string,
    afterSequence: number,
    onEvent: (sequence: number, event: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const read = {
      stream: EVENTS_STREAM,
      subject: subjectOf(job),
      from: afterSequence + 1,
      onMessage: (sequence: number, { data }: { data: Uint8Array }) => onEvent(sequence, data),
    };
    return readOrdered(this.#jetStream, read, signal);
  }

  async read(job: string, afterSequence: number, limit: number): Promise<{ sequence: number; event: Uint8Array }[]> {
    const subject = subjectOf(job);
    const events: { sequence: number; event: Uint8Array }[] = [];
    for (let from = afterSequence + 1; events.length < limit; from = events.at(-1)!.sequence + 1) {
      const count = Math.min(BATCH, limit - events.length);
      const got = await this.#jetStream.batch(EVENTS_STREAM, { from, subject, count }, ({ sequence, data }) =>
        events.push({ sequence, event: data }),
      );
      if (got < count) break;
    }
    return events;
  }

  async remove(job: string): Promise<void> {
    await this.#jetStream.api(`STREAM.PURGE.${EVENTS_STREAM}`, { filter: subjectOf(job) });
  }
}

function subjectOf(job: string): string {
  if (!ID.test(job)) throw new EspalierError('internal', `got job id ${job}, expected letters, digits, - and _`);
  return `${EVENTS_SUBJECT}.${job}`;
}
