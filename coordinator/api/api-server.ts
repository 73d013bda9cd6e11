// The public gRPC front of a coordinator: Jobs, Blobs, Artifacts, Health and reflection on one port.
//
// serving → draining (refuses new calls, ends watches, finishes uploads) → closed. `close` goes there at once.
import { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { within } from '../../shared/lifecycle.ts';
import type { Log } from '../../shared/log.ts';
import { countCalls } from '../../shared/rpc/count-calls.ts';
import { listen } from '../../shared/rpc/listen.ts';
import { protocol, protocolDefinition } from '../../shared/rpc/protocol.ts';
import { requireRoles } from '../../shared/rpc/roles.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import { NO_TRACER, type Tracer } from '../../shared/telemetry/trace.ts';
import type { VolumeChecks } from '../campaign/check-volumes.ts';
import type { JobStore } from '../jobs/job-store.ts';
import { artifactsService } from './artifacts-service.ts';
import { blobsService } from './blobs-service.ts';
import { jobsService } from './jobs-service.ts';
import { MOST_REQUEST_BYTES, MOST_RESPONSE_BYTES, UPLOAD_SILENCE_MS } from './limits.ts';
import { rolesForMethod } from './method-roles.ts';
import { OpenCalls } from './open-calls.ts';

const HEALTH_NAMES = ['', 'espalier.v1.Jobs', 'espalier.v1.Artifacts', 'espalier.v1.Blobs'];
const FLUSH_MS = 1_000;
const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MOST_REQUEST_BYTES,
  'grpc.max_send_message_length': MOST_RESPONSE_BYTES,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.max_concurrent_streams': 256,
};

export interface ApiServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly store: JobStore;
  readonly bus: Pick<Bus, 'objects' | 'events'>;
  /** Names of the volumes that the coordinators share. */
  readonly volumes: { has(name: string): boolean };
  /** Of campaigns that name them. */
  readonly volumeChecks: Pick<VolumeChecks, 'check'>;
  /** Serves peers with a certificate and a role only; null: whoever reaches the port. */
  readonly tls: Tls | null;
  readonly tracer?: Tracer;
  /** Told of each call of ours that has ended: "Submit", "OK". */
  readonly onCallEnded?: (method: string, status: string) => void;
  readonly log: Log;
  /** How long an upload may send nothing; left out: see limits.ts. */
  readonly uploadSilenceMs?: number;
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
  const { store, bus, volumes, volumeChecks, tls, tracer = NO_TRACER, onCallEnded = () => {}, log } = options;
  const { objects } = bus;
  const watchesEnd = new AbortController();
  const stop = new AbortController();
  const calls = new OpenCalls();
  const { Jobs, Blobs, Artifacts } = protocol();
  const counted = countCalls([Jobs.service, Blobs.service, Artifacts.service], onCallEnded);
  const server = new Server({
    ...SERVER_OPTIONS,
    interceptors: [counted, calls.interceptor, ...(tls === null ? [] : [requireRoles(rolesForMethod, log)])],
  });
  const health = new HealthImplementation(Object.fromEntries(HEALTH_NAMES.map((name) => [name, 'SERVING' as const])));
  server.addService(
    Jobs.service,
    jobsService({ store, bus, volumes, volumeChecks, stopped: watchesEnd.signal, tracer, log }),
  );
  server.addService(
    Blobs.service,
    blobsService({ objects, stopped: stop.signal, log, silenceMs: options.uploadSilenceMs ?? UPLOAD_SILENCE_MS }),
  );
  server.addService(Artifacts.service, artifactsService({ store, objects, stopped: stop.signal, log }));
  health.addToServer(server);
  new ReflectionService(protocolDefinition(), { services: HEALTH_NAMES.filter((name) => name !== '') }).addToServer(
    server,
  );
  const port = await listen(server, tls, options.host, options.port);

  const leaving = new EspalierError(
    'coordinator_unavailable',
    `${options.host}:${port}: the coordinator is shutting down`,
  );
  const refuseMore = () => {
    for (const name of HEALTH_NAMES) health.setStatus(name, 'NOT_SERVING');
    // A watch goes on with another coordinator from the last event that it got.
    watchesEnd.abort(leaving);
  };
  const close = async () => {
    refuseMore();
    stop.abort(leaving);
    server.forceShutdown();
  };
  const drain = async (timeoutMs: number) => {
    refuseMore();
    const goodbye = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    // Tells peers to go, while the calls that run go on. It waits for open health watches too: hence the flush limit.
    if ((await within(calls.idle(), timeoutMs)) === 'done') await within(goodbye, FLUSH_MS);
    await close();
  };
  return { port, drain, close };
}
