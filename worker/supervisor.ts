// Several workers of one machine, each a process of its own: one a GPU, or a few on a CPU. The supervisor computes nothing.
//
// A child: starting → serving → ended → (pause) → starting … for ever, with pauses that grow while it does not stay
// alive; once the supervisor was asked to end: draining → ended. No child outlives the supervisor, however that ends:
// each ends itself when the channel between them closes.
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { EspalierError } from '../shared/errors.ts';
import { within } from '../shared/lifecycle.ts';
import type { Log } from '../shared/log.ts';
import { unlessAborted } from '../shared/rpc/abort.ts';
import type { WorkerConfig } from './config.ts';
import type { WorkerMessage } from './parent-channel.ts';

const FIRST_PAUSE_MS = 500;
const MOST_PAUSE_MS = 60_000;
/** A child that lived this long is started again at once when it ends. */
const STEADY_MS = 60_000;
/** Beyond the drain, for what a child still has to do. */
const GRACE_MS = 5_000;

/** What one child is started with. */
export interface ChildPlan {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The processes that a configuration asks for; one: no supervisor is needed.
 * @param gpus names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them.
 * @throws EspalierError "usage" for more workers than GPUs. */
export function countWorkers({ workers, device }: WorkerConfig, gpus: readonly string[]): number {
  if (device === 'cpu' || gpus.length === 0) return workers === 'auto' ? 1 : workers;
  if (workers === 'auto') return gpus.length;
  if (workers > gpus.length)
    throw new EspalierError('usage', `--workers: got ${workers}, expected at most one a GPU: ${gpus.length}`, {
      action: 'start fewer workers, or choose --device cpu',
    });
  return workers;
}

/** @param argv of the supervisor, sound. @param memoryBytes for all children together, where no flag says; a GPU's is each
 * child's own. */
export function planChildren(
  argv: readonly string[],
  config: WorkerConfig,
  count: number,
  gpus: readonly string[],
  memoryBytes: number,
): ChildPlan[] {
  const kept = withoutFlags(argv, ['workers', 'port', 'metrics-port', 'health-port', 'advertise', 'memory-gb']);
  const usesGpus = config.device !== 'cpu' && gpus.length > 0;
  const { advertise } = config;
  const memory = config.memoryBytes ?? memoryBytes / count;
  return Array.from({ length: count }, (_, index) => {
    const nth = (port: number) => (port === 0 ? 0 : port + index);
    const own = [
      '--workers=1',
      `--port=${nth(config.port)}`,
      `--metrics-port=${nth(config.metricsPort)}`,
      // The supervisor answers for all of them.
      '--health-port=0',
    ];
    if (config.memoryBytes !== null || !usesGpus) own.push(`--memory-gb=${Math.max(0.1, memory / 1e9).toFixed(3)}`);
    if (advertise !== null)
      own.push(`--advertise=${advertise.host}${advertise.port === null ? '' : `:${nth(advertise.port)}`}`);
    return { argv: [...kept, ...own], env: usesGpus ? { CUDA_VISIBLE_DEVICES: gpus[index] } : {} };
  });
}

export interface SuperviseOptions {
  /** Path of the program. */
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
  readonly drainMs: number;
  /** Told when a child can do its work, and when it cannot any more. */
  readonly onReadiness: (index: number, isReady: boolean) => void;
  readonly log: Log;
  readonly firstPauseMs?: number;
}

/** Keeps the children running until the signal aborts; then drains them. Resolves when all are gone. */
export async function supervise(
  plans: readonly ChildPlan[],
  options: SuperviseOptions,
  signal: AbortSignal,
): Promise<void> {
  options.log.info('supervising', { workers: plans.length });
  await Promise.all(plans.map((plan, index) => keepRunning(plan, index, options, signal)));
}

async function keepRunning(
  plan: ChildPlan,
  index: number,
  options: SuperviseOptions,
  signal: AbortSignal,
): Promise<void> {
  const { log, onReadiness, firstPauseMs = FIRST_PAUSE_MS } = options;
  let pauseMs = firstPauseMs;
  while (!signal.aborted) {
    const startedAt = performance.now();
    const child = fork(options.program, [...plan.argv], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      execArgv: ['--enable-source-maps'],
      env: { ...options.env, ...plan.env },
    });
    const ended = endOf(child);
    child.on('message', (message: WorkerMessage) => {
      if (message.kind === 'ready') onReadiness(index, true);
      else if (message.kind === 'readiness') onReadiness(index, message.isReady);
    });
    void ended.then(() => onReadiness(index, false));
    log.info('worker started', { index, child: child.pid });
    await unlessAborted(ended, signal).catch(() => {});
    if (signal.aborted) {
      await drain(child, ended, options.drainMs + GRACE_MS);
      return;
    }
    const isSteady = performance.now() - startedAt >= STEADY_MS;
    if (isSteady) pauseMs = firstPauseMs;
    log.error('worker ended', { index, child: child.pid, reason: await ended, againInMs: pauseMs });
    await pause(pauseMs, undefined, { signal }).catch(() => {});
    pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS);
  }
}

async function drain(child: ChildProcess, ended: Promise<string>, graceMs: number): Promise<void> {
  child.kill('SIGTERM');
  if ((await within(ended, graceMs)) === 'done') return;
  child.kill('SIGKILL');
  await ended;
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, name) => resolve(name === null ? `exit code ${code}` : `ended by ${name}`));
  });
}

/** The words of a sound command line but these flags and their values. */
function withoutFlags(argv: readonly string[], names: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < argv.length; i += 1) {
    const [, name = '', inline] = /^--([^=]+)(=.*)?$/s.exec(argv[i]) ?? [];
    if (!names.includes(name)) kept.push(argv[i]);
    else if (inline === undefined) i += 1;
  }
  return kept;
}
