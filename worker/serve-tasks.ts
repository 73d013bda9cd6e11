// What a worker is from the moment its engine starts: connections, metrics, the gRPC front, heartbeats, the drain. Apart from
// main.ts, since all this takes as long to load as the engine's library does.
import type { BlobStore } from '../shared/blobs/blob-store.ts';
import type { Bus } from '../shared/bus/bus.ts';
import { type Draining, killSelf, Releases } from '../shared/lifecycle.ts';
import type { Log } from '../shared/log.ts';
import { Tls } from '../shared/rpc/tls.ts';
import { visibleGpus } from '../shared/visible-gpus.ts';
import type { WorkerConfig } from './config.ts';
import type { EngineExecutor } from './engine-executor.ts';
import { HeartbeatSender } from './heartbeat-sender.ts';
import { announceReady, loadAhead } from './parent-channel.ts';
import { ProcessTelemetry } from './process-telemetry.ts';
import { pulledBlobs, sentBlobs } from './service/blob-supply.ts';
import { cpuTurns, OWN_DEVICE } from './service/device-turns.ts';
import { startWorkerServer } from './service/worker-server.ts';
import { NO_OBSERVER } from './worker-observer.ts';

/** For the last heartbeat of a worker whose engine died. */
const GOODBYE_MS = 1_000;
/** How long after a task of mid-tuning a coordinator may still take its states from a worker that drains: longer than the
 * way from one sub-layer to the next takes. */
const HAND_OVER_MS = 3_000;
/** After the drain, for the engine's thread to end. */
const RELEASE_MS = 3_000;

export interface ServedWorker {
  readonly config: WorkerConfig;
  readonly blobs: BlobStore;
  /** The engine, which may still be starting; released here. */
  readonly executor: Promise<EngineExecutor>;
  readonly draining: Draining;
  readonly log: Log;
}

/** Serves until the process is asked to end, drains, and ends the process. @throws EspalierError what kept it from serving. */
export async function serveTasks({ config, blobs, executor: starting, draining, log }: ServedWorker): Promise<void> {
  const releases = new Releases();
  const tls = config.tls === null ? null : await Tls.openLogged(config.tls, 'worker', log);
  releases.add(() => tls?.close());
  const telemetry = await ProcessTelemetry.open(config, tls, log);
  releases.add(() => telemetry.close());
  const { tracer } = telemetry;
  const observer = telemetry.metrics ?? NO_OBSERVER;
  const bus = await joinCluster(config, draining, log);
  releases.add(() => bus?.close());
  const executor = await starting;
  releases.add(() => executor.close());
  const { kernelsProblem } = executor;
  if (kernelsProblem !== null) log.warning('kernels are plain', { reason: kernelsProblem });
  const isShared = bus !== null && executor.describe().deviceClass.kind === 'cpu';
  const { host, port, queue: maxWaiting } = config;
  let heartbeat: HeartbeatSender | null = null;
  const server = await startWorkerServer({
    host,
    port,
    executor,
    blobs,
    maxWaiting,
    tls,
    log,
    supply: bus === null ? sentBlobs(blobs, observer) : pulledBlobs(blobs, bus.objects, observer),
    turns: isShared ? cpuTurns(blobs.locksFolder, log) : OWN_DEVICE,
    observer,
    tracer,
    // Others hear by heartbeats that it drains and can still be reached; without them nobody would ask.
    handOverMs: bus === null ? 0 : HAND_OVER_MS,
    onChange: () => heartbeat?.changed(),
  });
  releases.add(() => server.close());
  if (bus !== null) heartbeat = new HeartbeatSender({ bus, address: addressOf(config, server.port), executor, server });
  releases.add(() => heartbeat?.gone());
  const [gpu] = executor.describe().deviceClass.kind === 'gpu' ? visibleGpus(process.env) : [];
  telemetry.watch({ bus, blobs, server, ...(gpu !== undefined && { gpu }) });
  loadAhead((model) => executor.load(model), log);
  announceReady(server.port, () => telemetry.notReady() === null);
  const certificate = tls === null ? {} : { certificateValidTo: tls.validTo };
  log.info('serving', { host, port: server.port, tls: tls !== null, ...certificate, ...executor.describe() });

  // Without its engine a worker would take tasks and never answer: as a dead process it is noticed and replaced.
  void executor.died.then(async (error) => {
    log.error('engine died', { error });
    setTimeout(() => process.exit(error.exitCode), GOODBYE_MS);
    heartbeat?.gone();
    await bus?.close();
    process.exit(error.exitCode);
  });
  await draining.asked;
  log.info('draining');
  setTimeout(killSelf, config.drainMs + RELEASE_MS).unref();
  telemetry.draining();
  heartbeat?.draining();
  await server.drain(config.drainMs);
  await releases.run();
  process.exit(0);
}

/** Its client is loaded only here: most local workers have no cluster. */
async function joinCluster({ bus }: WorkerConfig, { signal }: Draining, log: Log): Promise<Bus | null> {
  if (bus === null) return null;
  const { openBus } = await import('../shared/bus/open-bus.ts');
  return openBus(bus, log, signal, { name: `espalier-worker-${process.pid}` });
}

function addressOf({ host, advertise }: WorkerConfig, port: number): string {
  const name = advertise?.host ?? (host.includes(':') ? `[${host}]` : host);
  return `${name}:${advertise?.port ?? port}`;
}
