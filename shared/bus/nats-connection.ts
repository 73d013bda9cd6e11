// Connects to NATS: the client's options, made from settings and their files, and tries until a server takes this party.
import { setTimeout as pause } from 'node:timers/promises';
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  nkeys,
} from 'nats';
import { EspalierError } from '../errors.ts';
import { withoutPassword } from '../redact.ts';
import { certificateRoles, checkTlsFiles } from '../rpc/tls-files.ts';
import type { BusSettings } from './bus.ts';
import { readCredentials } from './credentials.ts';
import type { ServerCertificate } from './server-certificate.ts';

export interface ConnectOptions {
  /** Seen in the server's list of connections. */
  readonly name?: string;
  /** Ends the wait for the first connection. */
  readonly signal?: AbortSignal;
  /** How long to go on trying for the first connection. */
  readonly connectMs?: number;
}

/** Those of deploy/nats/permissions.mjs. */
const CERTIFICATE_USERS = ['coordinator', 'worker', 'admin'];

const CONNECT_MS = 15_000;
/** How long one try may take. */
const TRY_MS = 5_000;
const RETRY_MS = 250;

/** A connection that comes back by itself, for ever, and where its answers go (undefined: where the client chooses).
 * @param certificate notes what the server presents, each time. @throws as `connectBus` does. */
export async function connectNats(
  settings: BusSettings,
  options: ConnectOptions,
  certificate: ServerCertificate,
): Promise<{ connection: NatsConnection; inboxPrefix: string | undefined }> {
  const client = await clientOptions(settings, options, certificate);
  return { connection: await connectFirst(settings, client, options), inboxPrefix: client.inboxPrefix };
}

async function clientOptions(
  settings: BusSettings,
  options: ConnectOptions,
  certificate: ServerCertificate,
): Promise<ConnectionOptions> {
  const user = settings.credentials === null ? null : await readUser(settings.credentials);
  const { tls } = settings;
  if (tls !== null) await checkTlsFiles(tls);
  const inbox = user?.publicKey ?? (tls?.certificate ? await certificateUser(tls.certificate) : null);
  return {
    servers: [...settings.servers],
    name: options.name ?? 'espalier',
    maxReconnectAttempts: -1,
    // Rights can be given back, and an account that was gone come again: an operator's mistake must not end processes.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: RETRY_MS,
    reconnectJitter: RETRY_MS,
    reconnectJitterTLS: RETRY_MS,
    timeout: TRY_MS,
    // A frozen server is noticed after three pings.
    pingInterval: 4_000,
    maxPingOut: 2,
    noAsyncTraces: true,
    ...(user !== null && { authenticator: user.authenticator }),
    ...(inbox !== null && { inboxPrefix: `_INBOX_${inbox}` }),
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

/** The user that a certificate stands for where nats-server maps them: it takes the first URI that it knows.
 * @returns null for a certificate without such a role, whose answers go where the client chooses. */
async function certificateUser(file: string): Promise<string | null> {
  const roles = await certificateRoles(file);
  return roles.find((role) => CERTIFICATE_USERS.includes(role)) ?? null;
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
  { signal, connectMs = CONNECT_MS }: ConnectOptions,
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
          `${where}: NATS refused ${settings.credentials ?? settings.tls?.certificate ?? 'no credentials'}`,
        );
      if (code === 'SERVER_OPT_NA') throw new EspalierError('tls', `${where}: NATS does not offer TLS`);
      if (/CERT|TLS|SSL|SIGNATURE/.test(code)) throw new EspalierError('tls', `${where}: ${problem}`);
    }
    if (performance.now() >= end)
      throw new EspalierError('bus_unavailable', `${where}: not reached in ${connectMs} ms: ${problem}`);
    await pause(RETRY_MS + Math.random() * RETRY_MS, undefined, signal && { signal }).catch(() => {});
  }
}
