// A worker process: parse, build, serve, end; or, where several workers are asked for, the one that supervises them.
//
// Forked by a coordinator, it tells its port over the channel between them and ends the moment that channel closes:
// nothing must outlive a parent that was killed. Started by hand or in a container, it logs its port and, in a cluster, says
// by heartbeats where it is. SIGTERM drains, and so do Ctrl-C and a terminal that closes: the task that computes is finished,
// those that wait are handed back. A second signal, or the end of the time for that, ends it as it stands. It ends, too, when
// its engine dies.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BlobStore } from '../shared/blobs/blob-store.ts';
import { type EspalierError, toEspalierError } from '../shared/errors.ts';
import { type Draining, drainAsked, END_SIGNALS, killSelf, TERMINAL_SIGNALS } from '../shared/lifecycle.ts';
import { createLog } from '../shared/log.ts';
import { visibleGpus } from '../shared/visible-gpus.ts';
import { parseWorkerConfig, type WorkerConfig } from './config.ts';
import { createEngineExecutor } from './engine-executor.ts';
import { hostMemoryBytes } from './engine-memory.ts';
import { isForked, type WorkerMessage } from './parent-channel.ts';
import { countWorkers, planChildren, supervise } from './supervisor.ts';

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
  const plans = planChildren(argv, config, count, gpus, hostMemoryBytes());
  const { drainMs, healthHost: host, healthPort: port } = config;
  const ready = new Set<number>();
  const isReady = () => ready.size > 0 && !draining.signal.aborted;
  const health =
    port === 0 ? null : await (await import('../shared/rpc/health-port.ts')).startHealthPort({ host, port, isReady });
  const onReadiness = (index: number, isNow: boolean) => (isNow ? ready.add(index) : ready.delete(index));
  await supervise(plans, { program: PROGRAM, env, drainMs, onReadiness, log }, draining.signal);
  await health?.close();
  process.exit(0);
}

// The engine's library takes as long to load as all the rest of a worker: they are loaded beside each other.
async function serve(config: WorkerConfig, draining: Draining): Promise<void> {
  const blobs = await BlobStore.open(config.blobDir, { limitBytes: config.blobLimitBytes });
  const onWarmUpFailure = (error: EspalierError) => log.warning('warm-up failed', { error });
  const executor = createEngineExecutor(config, blobs, { onWarmUpFailure });
  // Asked for later, when the front is there.
  executor.catch(() => {});
  const { serveTasks } = await import('./serve-tasks.ts');
  await serveTasks({ config, blobs, executor, draining, log });
}

/** A terminal signals its whole group: what becomes of a forked worker is its parent's decision. */
function untilDrain(): Draining {
  if (!isForked) return drainAsked(END_SIGNALS, 'worker');
  for (const name of TERMINAL_SIGNALS) process.on(name, () => {});
  return drainAsked(['SIGTERM'], 'worker');
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
