// A connection of the `nats` client as a Link: connected ⇄ reconnecting → closed; only `close` closes it.
import { setTimeout as pause } from 'node:timers/promises';
import { createInbox, headers, type Msg, type NatsConnection } from 'nats';
import { EspalierError } from '../errors.ts';
import type { Headers, Link, LinkMessage, LinkSubscription } from './link.ts';
import { PatientTimer } from './patient-timer.ts';
import type { ServerCertificate } from './server-certificate.ts';

/** News of the connection, for the log. */
export interface BusNotice {
  readonly event: 'disconnected' | 'reconnected' | 'refused' | 'closed';
  /** Server, or what was refused. */
  readonly detail: string;
}

export interface LinkOptions {
  readonly onNotice?: (notice: BusNotice) => void;
  /** How long each call may take. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5_000;
const RETRY_MS = 250;
const CLIENT_EXTRA_MS = 60_000;
// Answers "503 no responders" come at once while a server's JetStream still starts.
const NO_RESPONDERS = '503';

export class NatsLink implements Link {
  readonly timeoutMs: number;
  readonly #connection: NatsConnection;
  readonly #inboxPrefix: string;
  readonly #certificate: ServerCertificate;
  readonly #onNotice: (notice: BusNotice) => void;
  readonly #listeners = new Set<() => void>();
  #isConnected = true;
  #isClosing = false;

  constructor(
    connection: NatsConnection,
    inboxPrefix: string | undefined,
    certificate: ServerCertificate,
    options: LinkOptions,
  ) {
    const { timeoutMs = TIMEOUT_MS, onNotice = () => {} } = options;
    this.#connection = connection;
    this.#inboxPrefix = inboxPrefix ?? '_INBOX';
    this.#certificate = certificate;
    this.timeoutMs = timeoutMs;
    this.#onNotice = onNotice;
    void this.#followStatus();
    void connection.closed().then((error) => {
      this.#isConnected = false;
      this.#tell();
      if (!this.#isClosing) onNotice({ event: 'closed', detail: error ? error.message : '' });
    });
  }

  get isConnected(): boolean {
    return this.#isConnected && !this.#connection.isClosed();
  }

  get isClosed(): boolean {
    return this.#isClosing || this.#connection.isClosed();
  }

  get serverCertificateEnd(): Date | null {
    return this.#certificate.validTo;
  }

  get maxPayloadBytes(): number {
    return this.#connection.info?.max_payload ?? 1 << 20;
  }

  inbox(): string {
    return createInbox(this.#inboxPrefix);
  }

  publish(subject: string, data: Uint8Array, options: { reply?: string; headers?: Headers } = {}): void {
    this.#connection.publish(subject, data, {
      ...(options.reply && { reply: options.reply }),
      ...(options.headers && { headers: clientHeaders(options.headers) }),
    });
  }

  async request(
    subject: string,
    data: Uint8Array,
    options: { headers?: Headers; timeoutMs?: number } = {},
  ): Promise<LinkMessage> {
    const end = performance.now() + (options.timeoutMs ?? this.timeoutMs);
    for (;;) {
      await this.#connected(end);
      try {
        return linkMessage(await this.#answer(subject, data, Math.max(1, end - performance.now()), options.headers));
      } catch (caught) {
        const { code, message } = caught as { code?: string; message: string };
        // Nobody got it, so it can be sent again.
        if (code === NO_RESPONDERS && performance.now() + RETRY_MS < end && !this.#connection.isClosed()) {
          await pause(RETRY_MS);
          continue;
        }
        if (code === 'MAX_PAYLOAD_EXCEEDED')
          throw new EspalierError('limit_exceeded', `${subject}: got ${data.byteLength} bytes, more than NATS takes`);
        const reason = code === NO_RESPONDERS ? 'nobody answers' : message.toLowerCase();
        throw new EspalierError('bus_unavailable', `${subject}: ${reason}`, { cause: caught });
      }
    }
  }

  subscribe(
    subject: string,
    onMessage: (message: LinkMessage) => void,
    onRefused?: (error: Error) => void,
  ): LinkSubscription {
    const subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) onRefused?.(error);
        else
          try {
            onMessage(linkMessage(message));
          } catch (caught) {
            // The client would stop reading and say nothing: a mistake of ours has to be seen.
            queueMicrotask(() => {
              throw caught;
            });
          }
      },
    });
    return { subject, end: () => subscription.unsubscribe() };
  }

  whenConnected(): Promise<void> {
    return this.#connected(performance.now() + this.timeoutMs);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.isConnected) await Promise.race([this.#connection.flush().catch(() => {}), pause(500)]);
    await this.#connection.close();
  }

  async #connected(end: number): Promise<void> {
    while (!this.isConnected) {
      if (this.isClosed) throw new EspalierError('bus_unavailable', 'the connection to NATS is closed');
      const leftMs = end - performance.now();
      if (leftMs <= 0) throw new EspalierError('bus_unavailable', 'no connection to NATS');
      const { promise, resolve } = withResolvers();
      const stop = this.onChange(resolve);
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
      stop();
    }
  }

  // The client's own time is longer, or it would give up on an answer that a busy loop has not read yet.
  async #answer(subject: string, data: Uint8Array, timeoutMs: number, values?: Headers): Promise<Msg> {
    const answer = this.#connection.request(subject, data, {
      timeout: timeoutMs + CLIENT_EXTRA_MS,
      ...(values && { headers: clientHeaders(values) }),
    });
    // One that comes after this has given up.
    answer.catch(() => {});
    let timer: PatientTimer | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = new PatientTimer(timeoutMs, () => reject(new Error('timeout')));
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      timer?.clear();
    }
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  async #followStatus(): Promise<void> {
    for await (const { type, data, permissionContext } of this.#connection.status()) {
      if (type === 'disconnect') {
        this.#isConnected = false;
        if (!this.#isClosing) this.#onNotice({ event: 'disconnected', detail: String(data) });
      } else if (type === 'reconnect') {
        this.#isConnected = true;
        this.#onNotice({ event: 'reconnected', detail: String(data) });
        this.#tell();
      } else if (type === 'error') {
        const what = permissionContext ? `${permissionContext.operation} ${permissionContext.subject}` : '';
        this.#onNotice({ event: 'refused', detail: `${String(data)} ${what}`.trim() });
      }
    }
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function clientHeaders(values: Headers) {
  const made = headers();
  for (const [name, value] of Object.entries(values)) made.set(name, value);
  return made;
}

function linkMessage(message: Msg): LinkMessage {
  const found = message.headers;
  return {
    subject: message.subject,
    data: message.data,
    reply: message.reply ?? '',
    status: found && found.code > 0 ? { code: found.code, description: found.description } : null,
    header: (name) => found?.get(name) ?? '',
  };
}
