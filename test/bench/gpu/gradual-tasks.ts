// Gradients and refits of one step of a gradual job, as its coordinator asks one worker for them: the stages themselves, on a
// worker that is an executor of this process. Counted is what the executor takes; blobs that the coordinator makes of its
// answers, it stores between.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Checkpoint } from '../../../checkpoint/open-checkpoint.ts';
import { gradualSettings } from '../../../coordinator/gradual-settings.ts';
import type { JobContext, PlannedSamples } from '../../../coordinator/job/job-context.ts';
import type { ModelBlobs } from '../../../coordinator/job/model-blobs.ts';
import { maskedStudent, type Student } from '../../../coordinator/job/student.ts';
import { runGradients, type StudentGradients } from '../../../coordinator/stages/gradual/gradients.ts';
import { type RefittedPatch, runRefit, withRefitted } from '../../../coordinator/stages/gradual/refit.ts';
import { type StepSettings, stepSettings } from '../../../coordinator/step-settings.ts';
import type { Masks } from '../../../pruning/masks.ts';
import type { BlobStore } from '../../../shared/blobs/blob-store.ts';
import type { TaskExecutor } from '../../../worker/task-executor.ts';
import { workersHere } from '../../support/workers-here.ts';

export interface GradualTasksOptions {
  /** For what the job writes. */
  readonly folder: string;
  readonly executor: TaskExecutor;
  /** Where the executor finds blobs: model and plan are in it. */
  readonly blobs: BlobStore;
  readonly model: ModelBlobs;
  readonly checkpoint: Checkpoint;
  readonly planned: PlannedSamples;
  /** The step's. */
  readonly share: number;
  readonly masks: GradualMasks;
}

/** What a step starts from and what it leaves, a part of that. */
export interface GradualMasks {
  readonly from: Masks;
  readonly to: Masks;
}

export class GradualTasks {
  readonly #context: JobContext;
  readonly #settings: StepSettings;
  readonly #masks: GradualMasks;
  /** Of all tasks so far. */
  #seconds = 0;
  #from: Promise<Student> | null = null;
  /** At the step's start. */
  #known: StudentGradients | null = null;

  constructor({ folder, executor, blobs, model, checkpoint, planned, share, masks }: GradualTasksOptions) {
    const { signal } = new AbortController();
    const scratch = path.join(folder, 'scratch');
    const run: Parameters<typeof workersHere>[0] = async (request, spec) => {
      for (const { digest, sizeBytes, open } of spec.blobs)
        if (!(await blobs.has(digest))) await blobs.put(digest, sizeBytes, open());
      const start = performance.now();
      const tensors = await executor.run(request, signal);
      this.#seconds += (performance.now() - start) / 1000;
      return tensors;
    };
    const workers = workersHere(run, 1, executor.describe().deviceClass);
    const home = {
      async scratch() {
        await mkdir(scratch, { recursive: true });
        return scratch;
      },
    };
    // What these stages read of a job.
    const context = { home, workers, model, checkpoint, calibration: planned, signal };
    this.#context = context as unknown as JobContext;
    this.#settings = stepSettings(gradualSettings({}), share);
    this.#masks = masks;
  }

  /** Gradients at the student that the step starts from. @returns seconds of the tasks. */
  async gradients(): Promise<number> {
    const from = await this.prepare();
    return this.#timed(async () => {
      this.#known = await this.#gradientsAt(from);
    });
  }

  /** Refits of every sub-layer, positions weighted by these gradients. @returns seconds of the tasks. */
  async refit(): Promise<number> {
    const { patches } = await this.prepare();
    if (this.#known === null) await this.gradients();
    return this.#timed(() => this.#refit({ masks: this.#masks.to, patches }, this.#known!));
  }

  /** What the step before made of the dense model, once; no stage counts it. */
  prepare(): Promise<Student> {
    this.#from ??= (async () => {
      const student = maskedStudent(this.#masks.from);
      return withRefitted(student, await this.#refit(student, await this.#gradientsAt(student)));
    })();
    return this.#from;
  }

  async #gradientsAt(student: Student): Promise<StudentGradients> {
    const { tokens, ...sums } = await runGradients(this.#context, student, () => {});
    return { ...sums, seconds: 0, tokens: async () => tokens };
  }

  #refit(student: Student, gradients: StudentGradients): Promise<readonly RefittedPatch[]> {
    const input = { student, gradients, settings: this.#settings, resumed: [] };
    return runRefit(this.#context, input, { store: async () => {} });
  }

  async #timed(run: () => Promise<unknown>): Promise<number> {
    const before = this.#seconds;
    await run();
    return this.#seconds - before;
  }
}
