// A worker process: parse, build, serve, end.
//
// Forked by a coordinator, it tells its port over the channel between them and ends the moment that channel closes:
// nothing must outlive a parent that was killed. Started by hand or in a container, it logs its port. SIGTERM drains;
// a second signal, or 10 seconds, ends it as it stands. It ends, too, when its engine dies.
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BlobStore } from '../shared/blobs/blob-store.ts';
import { toEspalierError } from '../shared/errors.ts';
import { onSignals, Releases } from '../shared/lifecycle.ts';
import { createLog } from '../shared/log.ts';
import { Tls } from '../shared/rpc/tls.ts';
import type { TlsFiles } from '../shared/rpc/tls-files.ts';
import { parseWorkerConfig, type WorkerConfig } from './config.ts';
import { createEngineExecutor } from './engine-executor.ts';
import { startWorkerServer } from './service/worker-server.ts';

const DRAIN_MS = 10_000;
/** After the drain, for the engine's thread to end. */
const RELEASE_MS = 3_000;

const isForked = process.send !== undefined;
const log = createLog({ process: 'worker', pid: process.pid });

/** What a forked worker tells its parent. */
export type WorkerMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly action: string };

/** The whole life of the process, which it ends. `espalier worker` comes in here, too. */
export async function runWorker(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await main(argv, env);
  } catch (caught) {
    fail(caught);
  }
}

async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  if (isForked) followParent();
  const command = parseWorkerConfig(argv, env);
  if (command.kind === 'help') process.stdout.write(command.text);
  else if (command.kind === 'print-config') process.stdout.write(`${JSON.stringify(command.config, null, 2)}\n`);
  else await serve(command.config);
}

async function serve(config: WorkerConfig): Promise<void> {
  const releases = new Releases();
  // A terminal sends Ctrl-C to the whole group: what becomes of a forked worker is its parent's decision.
  const signals: NodeJS.Signals[] = isForked ? ['SIGTERM'] : ['SIGTERM', 'SIGINT'];
  if (isForked) process.on('SIGINT', () => {});
  const drainAsked = new Promise<void>((resolve) => {
    onSignals(signals, { drain: () => resolve(), force: killSelf });
  });
  const tls = config.tls === null ? null : await openTls(config.tls);
  releases.add(() => tls?.close());
  const blobs = await BlobStore.open(config.blobDir, { limitBytes: config.blobLimitBytes });
  const executor = await createEngineExecutor(config, blobs);
  releases.add(() => executor.close());
  const { host, port, queue: maxWaiting } = config;
  const server = await startWorkerServer({ host, port, executor, blobs, maxWaiting, tls, log });
  releases.add(() => server.close());
  announce({ kind: 'ready', port: server.port });
  const certificate = tls === null ? {} : { certificateValidTo: tls.validTo };
  log.info('serving', { host, port: server.port, tls: tls !== null, ...certificate, ...executor.describe() });

  // Without its engine a worker would take tasks and never answer: as a dead process it is noticed and replaced.
  void executor.died.then((error) => {
    log.error('engine died', { error });
    process.exit(error.exitCode);
  });
  await drainAsked;
  log.info('draining');
  setTimeout(killSelf, DRAIN_MS + RELEASE_MS).unref();
  await server.drain(DRAIN_MS);
  await releases.run();
  process.exit(0);
}

function openTls(files: TlsFiles): Promise<Tls> {
  return Tls.open(files, 'worker', {
    onReload: (validTo) => log.info('certificate renewed', { validTo }),
    onProblem: (error) => log.warning('certificate not renewed', { error }),
  });
}

function followParent(): void {
  process.on('disconnect', killSelf);
  if (!process.connected) killSelf();
}

/** Ends at once, whatever native code the engine's thread is in: process.exit would wait for it. */
function killSelf(): void {
  process.kill(process.pid, 'SIGKILL');
}

function announce(message: WorkerMessage): void {
  process.send?.(message);
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
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  void runWorker(process.argv.slice(2), process.env);
