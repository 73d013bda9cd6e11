// The public gRPC front of a coordinator: Jobs, Blobs, Artifacts, Health and reflection on one port.
//
// serving → draining (refuses new calls, ends watches, finishes uploads) → closed. `close` goes there at once.
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { within } from '../../shared/lifecycle.ts';
import type { Log } from '../../shared/log.ts';
import { protocolDefinition } from '../../shared/rpc/protocol.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import type { ApiStore } from './api-store.ts';

const HEALTH_NAMES = ['', 'espalier.v1.Jobs', 'espalier.v1.Artifacts', 'espalier.v1.Blobs'];
const MIB = 1024 * 1024;
const FLUSH_MS = 1_000;

export interface ApiServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly store: ApiStore;
  readonly bus: Pick<Bus, 'objects' | 'events'>;
  /** Names of the volumes that the coordinators share. */
  readonly volumes: ReadonlySet<string>;
  /** Serves peers with a certificate and a role only; null: whoever reaches the port. */
  readonly tls: Tls | null;
  readonly log: Log;
}

export interface ApiServer {
  readonly port: number;
  /** Finishes the calls that it has, at most for `timeoutMs`, and closes. */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts every connection. */
  close(): Promise<void>;
}

/** Starts to serve. @throws EspalierError "usage" when the port cannot be had. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { tls } = options;
  const server = new Server({
    'grpc.max_receive_message_length': 8 * MIB,
    'grpc.max_send_message_length': 16 * MIB,
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.max_concurrent_streams': 256,
  });
  const health = new HealthImplementation(Object.fromEntries(HEALTH_NAMES.map((name) => [name, 'SERVING' as const])));
  health.addToServer(server);
  new ReflectionService(protocolDefinition()).addToServer(server);
  const credentials = tls === null ? ServerCredentials.createInsecure() : tls.serverCredentials();
  const port = await listen(server, credentials, options.host, options.port);
  const close = async () => {
    for (const name of HEALTH_NAMES) health.setStatus(name, 'NOT_SERVING');
    server.forceShutdown();
  };
  const drain = async (timeoutMs: number) => {
    for (const name of HEALTH_NAMES) health.setStatus(name, 'NOT_SERVING');
    const goodbye = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    await within(goodbye, Math.max(timeoutMs, FLUSH_MS));
    await close();
  };
  return { port, drain, close };
}

function listen(server: Server, credentials: ServerCredentials, host: string, port: number): Promise<number> {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, boundPort) => {
      if (error === null) resolve(boundPort);
      else reject(new EspalierError('usage', `${address}: cannot be listened on: ${error.message}`, { cause: error }));
    });
  });
}
