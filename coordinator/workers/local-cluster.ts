// Workers of this machine: forks them, waits until they serve, ends them. They end by themselves, too, the moment this
// process is gone. One that dies stays dead: what it was computing is sent to another.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, EspalierError } from '../../shared/errors.ts';
import { within } from '../../shared/lifecycle.ts';

const START_TIMEOUT_MS = 120_000;
const CLOSE_GRACE_MS = 5_000;
const KEPT_STDERR_LINES = 8;

/** Certificates of the command are not the workers': they listen on the loopback address, without TLS. And they are no
 * part of a cluster that the user's settings may name. */
const ALONE = {
  ESPALIER_TLS_CA: '',
  ESPALIER_TLS_CERTIFICATE: '',
  ESPALIER_TLS_KEY: '',
  ESPALIER_NATS: '',
  ESPALIER_NATS_CREDENTIALS: '',
  ESPALIER_NATS_TLS_CA: '',
  ESPALIER_NATS_TLS_CERTIFICATE: '',
  ESPALIER_NATS_TLS_KEY: '',
  ESPALIER_ADVERTISE: '',
  ESPALIER_OTLP_ENDPOINT: '',
};

export interface LocalClusterOptions {
  readonly count: number;
  /** Shared by all of them and by the coordinator: what lies there is never copied. */
  readonly blobDir: string;
  readonly device: 'auto' | 'cpu' | 'gpu';
  /** Left out: as the environment says. */
  readonly kernels?: 'auto' | 'fused' | 'plain';
  /** Threads of one TensorFlow operation. */
  readonly threads?: number;
  /** Memory that the engine of each may use; left out: each decides as if it were alone. */
  readonly memoryBytes?: number;
  /** More environment for the worker with this number. */
  readonly env?: (index: number) => Readonly<Record<string, string>>;
  readonly startTimeoutMs?: number;
  /** Told once for each worker that ends before `close`. */
  readonly onExit?: (address: string, reason: string) => void;
  readonly signal?: AbortSignal;
}

/** A model whose files lie on this machine. */
export interface ModelFiles {
  readonly configJson: string;
  readonly weights: readonly { readonly digest: string; readonly path: string }[];
}

/** What a worker says over the channel to the process that forked it (see worker/parent-channel.ts). */
type WorkerMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'readiness'; readonly isReady: boolean }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string; readonly action: string };

export class LocalCluster {
  readonly #workers: LocalWorker[] = [];
  #closing = false;

  private constructor() {}

  /** Resolves when all of them serve. @throws EspalierError what the first that failed said, with its last words on
   * standard error; none is left running then. */
  static async start(options: LocalClusterOptions): Promise<LocalCluster> {
    const cluster = new LocalCluster();
    for (let index = 0; index < options.count; index += 1) cluster.#workers.push(new LocalWorker(options, index));
    try {
      await Promise.all(cluster.#workers.map((worker) => worker.ready));
    } catch (caught) {
      await cluster.close({ graceMs: 0 });
      throw caught;
    }
    for (const worker of cluster.#workers)
      void worker.exited.then((reason) => {
        if (!cluster.#closing) options.onExit?.(worker.address, reason);
      });
    return cluster;
  }

  get addresses(): string[] {
    return this.#workers.map(({ address }) => address);
  }

  get pids(): number[] {
    return this.#workers.map(({ pid }) => pid);
  }

  /** Has all of them load a model that tasks will ask for. */
  load(model: ModelFiles): void {
    for (const worker of this.#workers) worker.load(model);
  }

  /** Asks them to finish, and ends them after `graceMs`. Resolves when they are gone. */
  async close({ graceMs = CLOSE_GRACE_MS }: { graceMs?: number } = {}): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#workers.map((worker) => worker.end(graceMs)));
  }
}

class LocalWorker {
  /** Resolves when the worker serves. */
  readonly ready: Promise<void>;
  /** Resolves with the reason when the process is gone. */
  readonly exited: Promise<string>;
  readonly #child: ChildProcess;
  readonly #lastLines: string[] = [];
  #port = 0;

  constructor(options: LocalClusterOptions, index: number) {
    const { blobDir, device, threads = 1 } = options;
    const kernels = options.kernels === undefined ? {} : { kernels: options.kernels };
    const memory = options.memoryBytes === undefined ? {} : { 'memory-gb': (options.memoryBytes / 1e9).toFixed(3) };
    const own = { host: '127.0.0.1', port: 0, 'metrics-port': 0, 'health-port': 0, workers: 1 };
    const flags = { ...own, 'blob-dir': blobDir, device, threads, ...kernels, ...memory };
    this.#child = fork(
      fileURLToPath(new URL('../../worker/main.js', import.meta.url)),
      Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
      {
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
        execArgv: ['--enable-source-maps'],
        env: { ...process.env, ...ALONE, TF_CPP_MIN_LOG_LEVEL: '2', ...options.env?.(index) },
      },
    );
    this.#keepLastLines();
    this.exited = new Promise((resolve) => {
      this.#child.once('error', (error) => resolve(error.message));
      // "close" comes after the last of standard error, unlike "exit".
      this.#child.once('close', (code, signal) =>
        resolve(signal === null ? `exit code ${code}` : `ended by ${signal}`),
      );
    });
    this.ready = this.#waitUntilReady(options);
    this.ready.catch(() => {});
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  load(model: ModelFiles): void {
    // One that is gone has nothing to load.
    if (this.#child.connected) this.#child.send({ kind: 'load', model }, () => {});
  }

  async end(graceMs: number): Promise<void> {
    const signals: NodeJS.Signals[] = graceMs > 0 ? ['SIGTERM', 'SIGKILL'] : ['SIGKILL'];
    for (const signal of signals) {
      this.#child.kill(signal);
      if ((await within(this.exited, graceMs || CLOSE_GRACE_MS)) === 'done') return;
    }
  }

  async #waitUntilReady({ startTimeoutMs = START_TIMEOUT_MS, signal }: LocalClusterOptions): Promise<void> {
    let failure: EspalierError | null = null;
    const serving = new Promise<void>((resolve, reject) => {
      this.#child.on('message', (message: WorkerMessage) => {
        if (message.kind === 'ready') {
          this.#port = message.port;
          resolve();
        } else if (message.kind === 'failed') {
          failure = new EspalierError(message.code, message.message, { action: message.action });
        }
      });
      void this.exited.then((reason) => reject(failure ?? this.#died(reason)));
      const abort = () => reject(new EspalierError('cancelled', 'interrupted while the workers were starting'));
      if (signal?.aborted) abort();
      signal?.addEventListener('abort', abort, { once: true });
    });
    if ((await within(serving, startTimeoutMs)) === 'late')
      throw this.#died(`not ready after ${startTimeoutMs / 1000} s`);
  }

  #died(reason: string): EspalierError {
    const lastWords = this.#lastLines.length > 0 ? `; its last words: ${this.#lastLines.join(' | ')}` : '';
    return new EspalierError('engine', `local worker ${this.pid}: ${reason}${lastWords}`);
  }

  #keepLastLines(): void {
    let partial = '';
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (partial + text).split('\n');
      partial = (lines.pop() ?? '').slice(-2000);
      this.#lastLines.push(...lines.filter((line) => line.trim() !== '').map((line) => line.slice(0, 500)));
      this.#lastLines.splice(0, this.#lastLines.length - KEPT_STDERR_LINES);
    });
  }
}
