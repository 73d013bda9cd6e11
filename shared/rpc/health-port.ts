// The plain port that asks for no certificate and tells nothing but health: grpc.health.v1, for probes that speak no TLS, as
// Kubernetes' do. Two services: "" is alive while the process runs, "ready" while it can do its work. It has few
// connections, short messages and few watches.
import { createServer, type Server as Listener } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { service } from 'grpc-health-check';
import { EspalierError } from '../errors.ts';

const MAX_CONNECTIONS = 64;
const MAX_WATCHES = 16;
/** How often a watch looks for a change. */
const LOOK_MS = 500;
const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': 1024,
  'grpc.max_concurrent_streams': 8,
  // Whoever connects and says nothing is cut off.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.max_connection_idle_ms': 60_000,
};

interface HealthRequest {
  readonly service: string;
}

interface HealthAnswer {
  readonly status: 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
}

type Watch = ServerWritableStream<HealthRequest, HealthAnswer>;

export interface HealthPortOptions {
  readonly host: string;
  /** 0 takes any free port: whoever wants none does not call. */
  readonly port: number;
  /** Asked with every call; cheap, and never throws. */
  readonly isReady: () => boolean;
}

export interface HealthPort {
  readonly port: number;
  /** Cuts every connection. */
  close(): Promise<void>;
}

/** Starts to serve. @throws EspalierError "usage" when the port cannot be had. */
export async function startHealthPort({ host, port, isReady }: HealthPortOptions): Promise<HealthPort> {
  const statusOf = (name: string): HealthAnswer['status'] => {
    if (name === '') return 'SERVING';
    if (name !== 'ready') return 'SERVICE_UNKNOWN';
    return isReady() ? 'SERVING' : 'NOT_SERVING';
  };
  const watches = new Set<Watch>();
  const server = new Server(SERVER_OPTIONS);
  server.addService(service, {
    check(call: ServerUnaryCall<HealthRequest, HealthAnswer>, answer: sendUnaryData<HealthAnswer>) {
      const found = statusOf(call.request.service);
      if (found !== 'SERVICE_UNKNOWN') answer(null, { status: found });
      else answer({ code: status.NOT_FOUND, details: 'there are "" and "ready"' });
    },
    watch: (call: Watch) => tellChanges(call, watches, statusOf),
  });
  // A gRPC server that listens by itself takes any number of connections.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => injector.injectConnection(socket));
  listener.maxConnections = MAX_CONNECTIONS;
  const bound = await listen(listener, host, port);
  // A probe must not keep a process that has nothing else to do.
  listener.unref();
  return {
    port: bound,
    close: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        server.forceShutdown();
      }),
  };
}

function tellChanges(call: Watch, watches: Set<Watch>, statusOf: (name: string) => HealthAnswer['status']): void {
  if (watches.size >= MAX_WATCHES) {
    call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: `${MAX_WATCHES} watch already` });
    return;
  }
  watches.add(call);
  let told: HealthAnswer['status'] | null = null;
  const tell = () => {
    const now = statusOf(call.request.service);
    if (now !== told) call.write({ status: now });
    told = now;
  };
  const timer = setInterval(tell, LOOK_MS).unref();
  for (const end of ['cancelled', 'close', 'error'] as const)
    call.on(end, () => {
      clearInterval(timer);
      watches.delete(call);
    });
  tell();
}

function listen(listener: Listener, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    listener.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be listened on: ${error.message}`;
      const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
      const action = 'choose another --health-port, or 0 for none';
      reject(new EspalierError('usage', `health on ${address}: the port ${reason}`, { action, cause: error }));
    });
    listener.listen(port, host, () => {
      listener.removeAllListeners('error');
      listener.on('error', () => {});
      resolve((listener.address() as { port: number }).port);
    });
  });
}
