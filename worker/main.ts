// A worker process: parse, build, serve, end; or, where several workers are asked for, the one that supervises them.
//
// Forked by a coordinator, it tells its port over the channel between them and ends the moment that channel closes:
// nothing must outlive a parent that was killed. Started by hand or in a container, it logs its port and, in a cluster, says
// by heartbeats where it is. SIGTERM drains: the task that computes is finished, those that wait are handed back. A second
// signal, or the end of the time for that, ends it as it stands. It ends, too, when its engine dies.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BlobStore } from '../shared/blobs/blob-store.ts';
import { openBus } from '../shared/bus/open-bus.ts';
import { toEspalierError } from '../shared/errors.ts';
import { drainAsked, killSelf, Releases } from '../shared/lifecycle.ts';
import { createLog } from '../shared/log.ts';
import { startHealthPort } from '../shared/rpc/health-port.ts';
import { Tls } from '../shared/rpc/tls.ts';
import { visibleGpus } from '../shared/visible-gpus.ts';
import { parseWorkerConfig, type WorkerConfig } from './config.ts';
import { createEngineExecutor, engineMemoryBytes } from './engine-executor.ts';
import { HeartbeatSender } from './heartbeat-sender.ts';
import { announceReady, isForked, type WorkerMessage } from './parent-channel.ts';
import { ProcessTelemetry } from './process-telemetry.ts';
import { pulledBlobs, sentBlobs } from './service/blob-supply.ts';
import { cpuTurns, OWN_DEVICE } from './service/device-turns.ts';
import { startWorkerServer } from './service/worker-server.ts';
import { countWorkers, planChildren, supervise } from './supervisor.ts';

/** For the last heartbeat of a worker whose engine died. */
const GOODBYE_MS = 1_000;
/** How long after a task of mid-tuning a coordinator may still take its states from a worker that drains: longer than the
 * way from one sub-layer to the next takes. */
const HAND_OVER_MS = 3_000;
/** After the drain, for the engine's thread to end. */
const RELEASE_MS = 3_000;

const PROGRAM = fileURLToPath(import.meta.url);
const log = createLog({ process: 'worker', pid: process.pid });

/** The whole life of the process, which it ends. `espalier worker` comes in here, too. */
export async function runWorker(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await main(argv, env);
  } catch (caught) {
    // Asked to end before it served: there is nothing to drain.
    if (toEspalierError(caught).code === 'cancelled') process.exit(0);
    fail(caught);
  }
}

async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  if (isForked) followParent();
  const command = parseWorkerConfig(argv, env);
  if (command.kind === 'help') process.stdout.write(command.text);
  else if (command.kind === 'print-config') process.stdout.write(`${JSON.stringify(command.config, null, 2)}\n`);
  else await run(command.config, argv, env);
}

async function run(config: WorkerConfig, argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const draining = untilDrain();
  const gpus = visibleGpus(env);
  const count = countWorkers(config, gpus);
  if (count === 1) return serve(config, draining);
  const plans = planChildren(argv, config, count, gpus, engineMemoryBytes());
  const { drainMs, healthHost: host, healthPort: port } = config;
  const ready = new Set<number>();
  const isReady = () => ready.size > 0 && !draining.signal.aborted;
  const health = port === 0 ? null : await startHealthPort({ host, port, isReady });
  const onReadiness = (index: number, isNow: boolean) => (isNow ? ready.add(index) : ready.delete(index));
  await supervise(plans, { program: PROGRAM, env, drainMs, onReadiness, log }, draining.signal);
  await health?.close();
  process.exit(0);
}

async function serve(config: WorkerConfig, draining: ReturnType<typeof drainAsked>): Promise<void> {
  const releases = new Releases();
  const tls = config.tls === null ? null : await Tls.openLogged(config.tls, 'worker', log);
  releases.add(() => tls?.close());
  const telemetry = await ProcessTelemetry.open(config, tls, log);
  releases.add(() => telemetry.close());
  const { metrics: observer, tracer } = telemetry;
  const bus =
    config.bus === null
      ? null
      : await openBus(config.bus, log, draining.signal, { name: `espalier-worker-${process.pid}` });
  releases.add(() => bus?.close());
  const blobs = await BlobStore.open(config.blobDir, { limitBytes: config.blobLimitBytes });
  const executor = await createEngineExecutor(config, blobs);
  releases.add(() => executor.close());
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

/** A terminal sends Ctrl-C to the whole group: what becomes of a forked worker is its parent's decision. */
function untilDrain(): ReturnType<typeof drainAsked> {
  if (isForked) process.on('SIGINT', () => {});
  return drainAsked(isForked ? ['SIGTERM'] : ['SIGTERM', 'SIGINT'], 'worker');
}

function addressOf({ host, advertise }: WorkerConfig, port: number): string {
  const name = advertise?.host ?? (host.includes(':') ? `[${host}]` : host);
  return `${name}:${advertise?.port ?? port}`;
}

function followParent(): void {
  process.on('disconnect', killSelf);
  if (!process.connected) killSelf();
}

function fail(caught: unknown): void {
  const error = toEspalierError(caught);
  log.error('worker failed', { error, stack: error.code === 'internal' ? error.stack : undefined });
  const end = () => process.exit(error.exitCode);
  if (process.send === undefined) end();
  const failed: WorkerMessage = { kind: 'failed', code: error.code, message: error.message, action: error.action };
  process.send?.(failed, undefined, undefined, end);
}

// As a program, but not where another one imports it for `runWorker`.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === PROGRAM)
  void runWorker(process.argv.slice(2), process.env);
