// The executor that the gRPC front runs tasks on: starts the engine's thread and speaks with it.

import { SHARE_ENV, Worker } from 'node:worker_threads';
import { silenceOnnxRuntime } from '../checkpoint/onnx/silence-onnxruntime.ts';
import type { BlobStore } from '../shared/blobs/blob-store.ts';
import { EspalierError } from '../shared/errors.ts';
import type { DeviceClass, RunRequest } from '../shared/rpc/protocol.ts';
import type { NamedTensor } from '../shared/tensor.ts';
import type { WorkerConfig } from './config.ts';
import { cpuModel, gpuModel, memoryStepGb } from './device.ts';
import { gpuMemoryLimit, TENSORFLOW_CONFIG } from './engine/tensorflow-config.ts';
import type { EngineThreadData, FromEngine, ToEngine } from './engine-messages.ts';
import type { LocalModel } from './model/local-model.ts';
import { blobsOf } from './service/request-blobs.ts';
import type { TaskExecutor } from './task-executor.ts';
import type { OnPart } from './tasks/task-context.ts';
import { USUAL_WARM_UP, type WarmUpPart, type WarmUpSizes } from './tasks/warm-up-parts.ts';
import { WarmUp } from './warm-up.ts';

/** Eight times what a warm-up takes. */
const LEAST_WARM_UP_BYTES = 4e9;

export interface EngineOptions {
  /** What the engine warms up with; null: it does not. Left out: `warmUpOf` says. */
  readonly warmUp?: WarmUpSizes | null;
  /** Told at most once, why it does not warm up any further. */
  readonly onWarmUpFailure?: (error: EspalierError) => void;
}

/** Starts the engine. @throws EspalierError "engine" when TensorFlow cannot be loaded or a GPU was asked for in vain. */
export async function createEngineExecutor(
  config: WorkerConfig,
  blobs: BlobStore,
  options: EngineOptions = {},
): Promise<EngineExecutor> {
  setEngineEnvironment(config);
  const cancelled = new SharedArrayBuffer(4);
  const data: EngineThreadData = {
    memoryBytes: config.memoryBytes,
    requireGpu: config.device === 'gpu',
    kernels: config.kernels,
    cancelled,
  };
  // What the thread sets for CUDA must reach CUDA, which reads the process's environment, not the thread's copy.
  const thread = new Worker(new URL('./engine-thread.js', import.meta.url), { workerData: data, env: SHARE_ENV });
  const ready = await nextMessage(thread);
  if (ready.kind !== 'ready') {
    await thread.terminate();
    throw ready.kind === 'failed'
      ? new EspalierError(ready.code, ready.message, { action: ready.action })
      : new EspalierError('internal', `engine thread: got ${ready.kind}, expected ready`);
  }
  const deviceClass: DeviceClass = {
    ...ready.device,
    model: ready.device.kind === 'gpu' ? gpuModel() : cpuModel(),
    intraOpThreads: ready.device.kind === 'gpu' ? 0 : config.threads,
    memoryGb: ready.gpuMemoryBytes === null ? 0 : memoryStepGb(ready.gpuMemoryBytes),
  };
  const { memoryBytes, kernelsProblem } = ready;
  const executor = new EngineExecutor(
    thread,
    new Int32Array(cancelled),
    blobs,
    deviceClass,
    memoryBytes,
    kernelsProblem,
  );
  const { warmUp = warmUpOf(deviceClass.kind, memoryBytes), onWarmUpFailure = () => {} } = options;
  if (warmUp !== null) await executor.warmUp(warmUp, onWarmUpFailure);
  return executor;
}

/** A CPU has nothing to load, and of a small GPU it would take too much of what jobs count on. */
export function warmUpOf(device: string, memoryBytes: number): WarmUpSizes | null {
  return device === 'gpu' && memoryBytes >= LEAST_WARM_UP_BYTES ? USUAL_WARM_UP : null;
}

export class EngineExecutor implements TaskExecutor {
  /** Resolves with the reason when the engine's thread ends without `close`: no task can be answered any more. */
  readonly died: Promise<EspalierError>;
  /** Why kernels are plain although fused ones were welcome; null: they are as asked for. */
  readonly kernelsProblem: string | null;
  private isClosing = false;
  private warmingUp: WarmUp | null = null;
  private isComputing = false;
  /** Settles when no model is being loaded. */
  private loading: Promise<unknown> = Promise.resolve();
  private readonly thread: Worker;
  private readonly cancelled: Int32Array;
  private readonly blobs: BlobStore;
  private readonly deviceClass: DeviceClass;
  private readonly memoryBytes: number;
  private runs = 0;
  private held: readonly string[] = [];
  private gpuPeakBytes: number | null = null;

  constructor(
    thread: Worker,
    cancelled: Int32Array,
    blobs: BlobStore,
    deviceClass: DeviceClass,
    memoryBytes: number,
    kernelsProblem: string | null = null,
  ) {
    this.kernelsProblem = kernelsProblem;
    this.thread = thread;
    this.cancelled = cancelled;
    this.blobs = blobs;
    this.deviceClass = deviceClass;
    this.memoryBytes = memoryBytes;
    this.died = new Promise((resolve) => {
      // Without a listener an error between two tasks would be uncaught.
      thread.on('error', (cause) => resolve(threadError(cause)));
      thread.on('exit', (code) => {
        if (!this.isClosing) resolve(threadEnded(code));
      });
    });
  }

  describe(): { readonly deviceClass: DeviceClass; readonly memoryBytes: number } {
    return { deviceClass: this.deviceClass, memoryBytes: this.memoryBytes };
  }

  models(): readonly string[] {
    return this.held;
  }

  peakMemoryBytes(): number | null {
    return this.deviceClass.kind === 'gpu' ? this.gpuPeakBytes : process.resourceUsage().maxRSS * 1024;
  }

  async run(request: RunRequest, signal: AbortSignal, onPart?: OnPart): Promise<NamedTensor[]> {
    const { taskId } = request;
    const digests = blobsOf(request).map(({ digest }) => digest);
    const unpin = this.blobs.pin(digests);
    this.isComputing = true;
    try {
      await this.loading;
      await this.warmingUp?.hold();
      const paths = Object.fromEntries(digests.map((digest) => [digest, this.blobs.path(digest)]));
      return await this.answer(taskId, (run) => ({ kind: 'task', run, request, paths }), signal, onPart);
    } finally {
      unpin();
      this.isComputing = false;
      this.warmingUp?.goOn();
    }
  }

  /** Loads a model that tasks will ask for; they wait for it. Does nothing while a task computes.
   * @throws EspalierError when its files cannot be read. */
  async load(model: LocalModel): Promise<void> {
    if (this.isComputing) return;
    const loaded = this.loading.then(async () => {
      await this.warmingUp?.hold();
      await this.answer('load', (run) => ({ kind: 'load', run, model }), new AbortController().signal);
    });
    this.loading = loaded.catch(() => {});
    try {
      await loaded;
    } finally {
      if (!this.isComputing) this.warmingUp?.goOn();
    }
  }

  /** Warms the engine up, once: resolves after what every task would wait for; the rest comes when no task has the engine. */
  async warmUp(sizes: WarmUpSizes, onFailure: (error: EspalierError) => void): Promise<void> {
    const run = async (part: WarmUpPart, signal: AbortSignal) => {
      await this.answer(`warm-up of ${part}`, (run) => ({ kind: 'warm-up', run, part, sizes }), signal);
    };
    this.warmingUp = new WarmUp({ run, onFailure });
    await this.warmingUp.begin();
  }

  async close(): Promise<void> {
    this.isClosing = true;
    this.warmingUp?.close();
    await this.thread.terminate();
  }

  // What the engine answers to one message. @param name what errors call it.
  private async answer(
    name: string,
    make: (run: number) => ToEngine,
    signal: AbortSignal,
    onPart?: OnPart,
  ): Promise<NamedTensor[]> {
    this.runs += 1;
    const run = this.runs;
    const abort = () => Atomics.store(this.cancelled, 0, run);
    signal.addEventListener('abort', abort);
    try {
      if (signal.aborted) throw new EspalierError('cancelled', `${name}: cancelled before it began`);
      const answer = nextMessage(this.thread, onPart);
      this.thread.postMessage(make(run));
      const message = await answer;
      if (message.kind === 'done' || message.kind === 'failed') {
        this.held = message.models;
        this.gpuPeakBytes = message.peakBytes;
      }
      if (message.kind === 'failed')
        throw new EspalierError(message.code, `${name}: ${message.message}`, { action: message.action });
      if (message.kind !== 'done' || message.run !== run)
        throw new EspalierError('internal', `${name}: got ${message.kind} from the engine, expected its result`);
      return [...message.tensors];
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}

/** Sets what TensorFlow and ONNX Runtime read once, when they are loaded. */
export function setEngineEnvironment({
  threads,
  device,
  gpuMemoryBytes = null,
}: Pick<WorkerConfig, 'threads' | 'device'> & Partial<Pick<WorkerConfig, 'gpuMemoryBytes'>>): void {
  silenceOnnxRuntime();
  process.env.TF_NUM_INTRAOP_THREADS = `${threads}`;
  process.env.TF_NUM_INTEROP_THREADS = '1';
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true';
  if (gpuMemoryBytes !== null) process.env[TENSORFLOW_CONFIG] = gpuMemoryLimit(gpuMemoryBytes);
  if (device === 'cpu') process.env.CUDA_VISIBLE_DEVICES = '-1';
}

function threadError(cause: Error): EspalierError {
  return new EspalierError('engine', `engine thread: ${cause.message}`, { cause });
}

function threadEnded(code: number): EspalierError {
  return new EspalierError('engine', `engine thread ended with code ${code}`);
}

/** The next message but for parts of a result, which go to `onPart`. */
function nextMessage(thread: Worker, onPart: OnPart = () => {}): Promise<FromEngine> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      thread.off('message', onMessage);
      thread.off('error', onError);
      thread.off('exit', onExit);
      finish();
    };
    const onMessage = (message: FromEngine) => {
      if (message.kind === 'part') onPart(message.tensors);
      else settle(() => resolve(message));
    };
    const onError = (cause: Error) => settle(() => reject(threadError(cause)));
    const onExit = (code: number) => settle(() => reject(threadEnded(code)));
    thread.on('message', onMessage);
    thread.on('error', onError);
    thread.on('exit', onExit);
  });
}
