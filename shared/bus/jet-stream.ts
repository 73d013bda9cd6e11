// JetStream's requests over a link: JSON in, JSON out (the server's public API, stable across its 2.x versions). Its
// refusals are told apart by their number; those that nobody expects end as "bus_unavailable" or "store_full".
import { setTimeout as pause } from 'node:timers/promises';
import { EspalierError } from '../errors.ts';
import type { Headers, Link, LinkMessage } from './link.ts';
import { PatientTimer } from './patient-timer.ts';

/** A refusal of JetStream. */
export class Refusal extends EspalierError {
  readonly number: number;

  constructor(subject: string, { err_code: number = 0, code, description = 'no reason given' }: ApiError) {
    const isFull =
      FULL.has(number) ||
      (number === STORE_FAILED && /maximum (bytes|messages)/.test(description)) ||
      (number === NO_PEERS && /insufficient (storage|resources)/.test(description));
    super(isFull ? 'store_full' : 'bus_unavailable', `${subject}: ${description} (${number || code})`);
    this.number = number;
  }
}

interface ApiError {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

interface LeaderAnswer {
  readonly message: {
    readonly subject: string;
    readonly seq: number;
    readonly time: string;
    readonly data?: string;
    readonly hdrs?: string;
  };
}

const RETRY_MS = 250;

export const NO_MESSAGE = 10037;
export const NO_STREAM = 10059;
export const WRONG_LAST_SEQUENCE = 10071;
const WRONG_LAST_SEQUENCE_CONSTANT = 10164;
export const STORE_FAILED = 10077;
// No server of the cluster takes a stream, for one of many reasons.
const NO_PEERS = 10005;
// A cluster whose servers have not agreed yet on who leads.
const NO_LEADER = 10008;
// No room in the account, on the server, or on its disk.
const FULL: ReadonlySet<number> = new Set([10002, 10023, 10028, 10047]);

/** A message as the stream has it. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly time: Date;
  readonly data: Uint8Array;
  header(name: string): string;
}

export interface BatchRequest {
  /** First sequence to look at. */
  readonly from: number;
  /** May end in `.>`. */
  readonly subject: string;
  readonly count: number;
  readonly bytes?: number;
}

export class JetStream {
  readonly link: Link;

  constructor(link: Link) {
    this.link = link;
  }

  /** @throws Refusal, or "bus_unavailable" when no answer came. */
  async api<Answer>(subject: string, body: object = {}, timeoutMs = this.link.timeoutMs): Promise<Answer> {
    const address = `$JS.API.${subject}`;
    return parse<Answer>(address, await this.link.request(address, encode(body), { timeoutMs }));
  }

  /** Stores a message. @returns its sequence, and whether its `Nats-Msg-Id` was there already. */
  async store(
    subject: string,
    data: Uint8Array,
    headers?: Headers,
  ): Promise<{ readonly seq: number; readonly duplicate?: boolean }> {
    return parse(subject, await this.link.request(subject, data, headers && { headers }));
  }

  /** Stores a message when the newest of its subject has this sequence; 0: when there is none.
   * @returns its sequence, or null when another is the newest. */
  async storeAfter(subject: string, data: Uint8Array, sequence: number, headers: Headers = {}): Promise<number | null> {
    const expected = { 'Nats-Expected-Last-Subject-Sequence': String(sequence) };
    try {
      return (await this.store(subject, data, { ...headers, ...expected })).seq;
    } catch (caught) {
      if (isRefusal(caught, WRONG_LAST_SEQUENCE) || isRefusal(caught, WRONG_LAST_SEQUENCE_CONSTANT)) return null;
      throw caught;
    }
  }

  /** The newest message of a subject, from the stream's leader. */
  newest(stream: string, subject: string): Promise<StoredMessage | null> {
    return this.#fromLeader(stream, { last_by_subj: subject });
  }

  /** The first message of a subject from this sequence on, from the stream's leader. @param subject may end in `.>`. */
  next(stream: string, subject: string, from: number): Promise<StoredMessage | null> {
    return this.#fromLeader(stream, { seq: from, next_by_subj: subject });
  }

  /** Asks again when the connection was lost meanwhile, and while a leader is elected. */
  async #fromLeader(stream: string, request: object): Promise<StoredMessage | null> {
    const end = performance.now() + this.link.timeoutMs;
    let found: LeaderAnswer | 'lost' = 'lost';
    while (found === 'lost')
      try {
        found = await this.#fromLeaderOnce(stream, request, Math.max(1, end - performance.now()));
      } catch (caught) {
        if (isRefusal(caught, NO_MESSAGE)) return null;
        if (!isRefusal(caught, NO_LEADER) || performance.now() + RETRY_MS >= end) throw caught;
        await pause(RETRY_MS);
      }
    const { message } = found;
    const headers = parseHeaders(Buffer.from(message.hdrs ?? '', 'base64').toString());
    return {
      subject: message.subject,
      sequence: message.seq,
      time: new Date(message.time),
      data: Buffer.from(message.data ?? '', 'base64'),
      header: (name) => headers.get(name.toLowerCase()) ?? '',
    };
  }

  async #fromLeaderOnce(stream: string, request: object, timeoutMs: number): Promise<LeaderAnswer | 'lost'> {
    let stopListening = () => {};
    const lost = new Promise<'lost'>((resolve) => {
      stopListening = this.link.onChange(() => resolve('lost'));
    });
    const answer = this.api<LeaderAnswer>(`STREAM.MSG.GET.${stream}`, request, timeoutMs);
    // One that comes after the connection was lost.
    answer.catch(() => {});
    try {
      return await Promise.race([answer, lost]);
    } finally {
      stopListening();
    }
  }

  /** Messages of a subject in order, from any replica: at most so many, and about so many bytes; at least one if there is
   * one. Each is handed over once, as it comes; a connection that was lost meanwhile is waited for.
   * @returns how many came. */
  async batch(stream: string, request: BatchRequest, onMessage: (message: StoredMessage) => void): Promise<number> {
    const end = performance.now() + this.link.timeoutMs;
    let { from } = request;
    let got = 0;
    const take = (message: StoredMessage) => {
      got += 1;
      from = message.sequence + 1;
      onMessage(message);
    };
    for (;;) {
      await this.link.whenConnected();
      const outcome = await this.#batchOnce(stream, { ...request, from, count: request.count - got }, take);
      if (outcome === 'ended' || got === request.count) return got;
      if (performance.now() >= end) throw new EspalierError('bus_unavailable', `${stream}: nobody answers`);
      await pause(RETRY_MS);
    }
  }

  /** "lost": the rest has to be asked for again. */
  #batchOnce(
    stream: string,
    { from, subject, count, bytes }: BatchRequest,
    onMessage: (message: StoredMessage) => void,
  ): Promise<'ended' | 'lost'> {
    const { link } = this;
    const address = `$JS.API.DIRECT.GET.${stream}`;
    const body = encode({ seq: from, next_by_subj: subject, batch: count, ...(bytes && { max_bytes: bytes }) });
    return new Promise((resolve, reject) => {
      const done = (settle: () => void) => {
        timer.clear();
        stopListening();
        subscription.end();
        settle();
      };
      const fail = (reason: string) =>
        done(() => reject(new EspalierError('bus_unavailable', `${address}: ${reason}`)));
      const lost = () => done(() => resolve('lost'));
      const take = (message: LinkMessage) => {
        const { status } = message;
        if (status === null) {
          timer.refresh();
          onMessage(directMessage(message));
        } else if (status.code === 204 || status.code === 404) done(() => resolve('ended'));
        else if (status.code === 503) lost();
        else fail(`${status.code} ${status.description}`);
      };
      const timer = new PatientTimer(link.timeoutMs, () => fail('timeout'));
      const stopListening = link.onChange(lost);
      const subscription = link.subscribe(link.inbox(), take, (error) => fail(error.message));
      link.publish(address, body, { reply: subscription.subject });
    });
  }
}

export function isRefusal(caught: unknown, number: number): boolean {
  return caught instanceof Refusal && caught.number === number;
}

const encode = (body: object) => new TextEncoder().encode(JSON.stringify(body));

function parse<Answer>(subject: string, message: LinkMessage): Answer {
  let answer: Answer & { readonly error?: ApiError };
  try {
    answer = JSON.parse(new TextDecoder().decode(message.data));
  } catch {
    throw new EspalierError('bus_unavailable', `${subject}: got an answer that is no JSON`);
  }
  if (answer.error) throw new Refusal(subject, answer.error);
  return answer;
}

function directMessage(message: LinkMessage): StoredMessage {
  return {
    subject: message.header('Nats-Subject'),
    sequence: Number(message.header('Nats-Sequence')),
    time: new Date(message.header('Nats-Time-Stamp')),
    data: message.data,
    header: (name) => message.header(name),
  };
}

function parseHeaders(text: string): ReadonlyMap<string, string> {
  const lines = text.split('\r\n').slice(1);
  return new Map(
    lines
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
}
