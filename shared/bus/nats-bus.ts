// The one file that speaks to the `nats` client (docs/adr/0011-nats.md): connects, and offers the connection as a Link.
// It is connected ⇄ reconnecting → closed; it reconnects for ever, and only `close` closes it.
import { setTimeout as pause } from 'node:timers/promises';
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  createInbox,
  credsAuthenticator,
  headers,
  type Msg,
  type NatsConnection,
  nkeyAuthenticator,
  nkeys,
} from 'nats';
import { EspalierError } from '../errors.ts';
import { withoutPassword } from '../redact.ts';
import { checkTlsFiles } from '../rpc/tls-files.ts';
import { assembleBus } from './assemble-bus.ts';
import type { Bus, BusSettings } from './bus.ts';
import { readCredentials } from './credentials.ts';
import type { Headers, Link, LinkMessage, LinkSubscription } from './link.ts';
import { PatientTimer } from './patient-timer.ts';
import { ServerCertificate } from './server-certificate.ts';
import type { BusLimits } from './streams.ts';

/** News of the connection, for the log. */
export interface BusNotice {
  readonly event: 'disconnected' | 'reconnected' | 'refused' | 'closed';
  /** Server, or what was refused. */
  readonly detail: string;
}

export interface BusOptions {
  /** Seen in the server's list of connections. */
  readonly name?: string;
  /** Ends the wait for the first connection. */
  readonly signal?: AbortSignal;
  /** Of the streams and buckets, for who creates them. */
  readonly limits?: Partial<BusLimits>;
  /** Creates what is missing and sets the limits: for coordinators. Others only use what is there. */
  readonly create?: boolean;
  readonly onNotice?: (notice: BusNotice) => void;
  /** How long to go on trying for the first connection. */
  readonly connectMs?: number;
  /** How long each call may take. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5_000;
const CONNECT_MS = 15_000;
const RETRY_MS = 250;
const CLIENT_EXTRA_MS = 60_000;
// Answers "503 no responders" come at once while a server's JetStream still starts.
const NO_RESPONDERS = '503';

/** Connects to NATS. @throws EspalierError "usage" or "tls" for files that are wrong, "bus_unavailable" when no server
 * takes this party in time, "cancelled". */
export async function connectBus(settings: BusSettings, options: BusOptions = {}): Promise<Bus> {
  const link = await connectLink(settings, options);
  try {
    return await assembleBus(link, {
      create: options.create ?? false,
      ...(options.limits && { limits: options.limits }),
    });
  } catch (caught) {
    await link.close();
    throw caught;
  }
}

/** What a bus is made over, by itself. @throws as `connectBus` does. */
export async function connectLink(settings: BusSettings, options: BusOptions = {}): Promise<Link> {
  const certificate = new ServerCertificate();
  const client = await clientOptions(settings, options, certificate);
  const connection = await connectFirst(settings, client, options);
  return new NatsLink(connection, client.inboxPrefix, certificate, options);
}

async function clientOptions(
  settings: BusSettings,
  options: BusOptions,
  certificate: ServerCertificate,
): Promise<ConnectionOptions> {
  const user = settings.credentials === null ? null : await readUser(settings.credentials);
  const { tls } = settings;
  if (tls !== null) await checkTlsFiles(tls);
  return {
    servers: [...settings.servers],
    name: options.name ?? 'espalier',
    maxReconnectAttempts: -1,
    // Rights can be given back, and an account that was gone come again: an operator's mistake must not end processes.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: RETRY_MS,
    reconnectJitter: RETRY_MS,
    reconnectJitterTLS: RETRY_MS,
    timeout: TIMEOUT_MS,
    // A frozen server is noticed after three pings.
    pingInterval: 4_000,
    maxPingOut: 2,
    noAsyncTraces: true,
    ...(user !== null && { authenticator: user.authenticator, inboxPrefix: `_INBOX_${user.publicKey}` }),
    // The client reads the files for each connection, so renewed ones are followed.
    ...(tls !== null && {
      tls: {
        caFile: tls.ca,
        ...(tls.certificate !== null && { certFile: tls.certificate }),
        ...(tls.key !== null && { keyFile: tls.key }),
        // The client hands what it does not know itself to Node's TLS.
        ...{ checkServerIdentity: certificate.check },
      },
    }),
  };
}

async function readUser(file: string): Promise<{ authenticator: Authenticator; publicKey: string }> {
  const parsed = await readCredentials(file);
  try {
    if (parsed !== null) {
      const seed = new TextEncoder().encode(parsed.seed);
      const publicKey = nkeys.fromSeed(seed).getPublicKey();
      if (publicKey.startsWith('U'))
        return {
          publicKey,
          authenticator: parsed.isJwt ? credsAuthenticator(parsed.content) : nkeyAuthenticator(seed),
        };
    }
  } catch {
    // Told below, without a cause: nothing that was made from a seed may reach a log.
  }
  throw new EspalierError(
    'usage',
    `${file}: got no credentials of a user, expected a .creds file or an NKEY seed (SU…)`,
  );
}

async function connectFirst(
  settings: BusSettings,
  client: ConnectionOptions,
  { signal, connectMs = CONNECT_MS }: BusOptions,
): Promise<NatsConnection> {
  const where = withoutPassword(settings.servers.join(','));
  const end = performance.now() + connectMs;
  for (;;) {
    if (signal?.aborted) throw new EspalierError('cancelled', 'interrupted', { cause: signal.reason });
    let problem: string;
    try {
      return await connect(client);
    } catch (caught) {
      const { code = '', message } = caught as { code?: string; message: string };
      problem = `${message || code}`.toLowerCase();
      if (/^(AUTHORIZATION|AUTHENTICATION|ACCOUNT|BAD_(AUTH|CREDS))/.test(code))
        throw new EspalierError(
          'bus_unavailable',
          `${where}: NATS refused ${settings.credentials ?? 'no credentials'}`,
        );
      if (code === 'SERVER_OPT_NA') throw new EspalierError('tls', `${where}: NATS does not offer TLS`);
      if (/CERT|TLS|SSL|SIGNATURE/.test(code)) throw new EspalierError('tls', `${where}: ${problem}`);
    }
    if (performance.now() >= end)
      throw new EspalierError('bus_unavailable', `${where}: not reached in ${connectMs} ms: ${problem}`);
    await pause(RETRY_MS + Math.random() * RETRY_MS, undefined, signal && { signal }).catch(() => {});
  }
}

class NatsLink implements Link {
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
    options: BusOptions,
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
