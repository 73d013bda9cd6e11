// The most memory that has been in use on this worker's GPU, as the driver tells it: TensorFlow keeps what it once took, and
// there is one worker a GPU.
import { execFile } from 'node:child_process';

const LOOK_MS = 10_000;
const ANSWER_MS = 5_000;
/** So many looks in a row that tell nothing: there is no such program, or it may not look. */
const MOST_FAILURES = 3;

export class GpuMemory {
  readonly #gpu: string;
  readonly #program: string;
  readonly #timer: NodeJS.Timeout;
  #peakBytes: number | null = null;
  #failures = 0;
  #asked: Promise<void> | null = null;

  /** @param gpu as CUDA_VISIBLE_DEVICES names it. */
  constructor(gpu: string, { program = 'nvidia-smi', lookMs = LOOK_MS } = {}) {
    this.#gpu = gpu;
    this.#program = program;
    this.#timer = setInterval(() => void this.look(), lookMs).unref();
    void this.look();
  }

  /** null: not known. */
  get peakBytes(): number | null {
    return this.#peakBytes;
  }

  /** Asks the driver now; one question at a time. Resolves when it has answered. */
  look(): Promise<void> {
    this.#asked ??= this.#ask().finally(() => {
      this.#asked = null;
    });
    return this.#asked;
  }

  #ask(): Promise<void> {
    const args = [`--id=${this.#gpu}`, '--query-gpu=memory.used', '--format=csv,noheader,nounits'];
    return new Promise((resolve) => {
      execFile(this.#program, args, { timeout: ANSWER_MS, maxBuffer: 64 * 1024 }, (error, stdout) => {
        // In MiB, whatever the column is called.
        const [, text] = /^\s*(\d{1,9})\s*$/m.exec(error === null ? stdout : '') ?? [];
        this.#failures = text === undefined ? this.#failures + 1 : 0;
        if (text !== undefined) this.#peakBytes = Math.max(this.#peakBytes ?? 0, Number(text) * 1024 * 1024);
        else if (this.#failures >= MOST_FAILURES) this.close();
        resolve();
      });
    });
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
