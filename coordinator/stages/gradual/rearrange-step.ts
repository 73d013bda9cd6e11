// Stage "rearrange" of a gradual step: which heads and neurons of each layer go, their number being the search's, by the cross
// terms of each sample's gradients at the student that the step starts from. The gradients lie in the scratch folder, those of one
// student at a time: masks are stored, and whoever goes on without them computes the gradients again.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Importance } from '../../../pruning/fisher.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { openVariables } from '../../../pruning/search-remaining.ts';
import type { JobContext } from '../../job/job-context.ts';
import type { Student } from '../../job/student.ts';
import { runFisher } from '../fisher.ts';
import { maskStage } from '../prune-budget.ts';

/** What a step starts from. */
export interface StepStart {
  readonly student: Student;
  readonly importance: Importance;
}

/** All steps of a job, one after the other; whoever made it closes it. */
export class StepRearrangement {
  readonly #context: JobContext;
  /** Whose gradients the file has. */
  #held: { readonly student: Student; readonly file: string } | null = null;

  constructor(context: JobContext) {
    this.#context = context;
  }

  /** Masks that a search found among what the student keeps, rearranged; from the state or made. Of each layer as many heads and
   * neurons are kept, the most important head that the student has there among them where the search kept it.
   * @param step what events call it. @param name of the stored stage. */
  rearrange(
    masks: Masks,
    { student, importance }: StepStart,
    { step, name }: { readonly step: string; readonly name: string },
  ): Promise<{ value: Masks; seconds: number }> {
    const { calibration, compute } = this.#context;
    const steps = calibration.plan.shards.length;
    return maskStage(this.#context, { stage: 'rearrange', budget: step, name, steps }, async (progress) => {
      const file = await this.#gradients(student, progress);
      return compute.rearrange(file, masks, openVariables(importance, student.masks));
    });
  }

  /** Removes the file. */
  async close(): Promise<void> {
    const held = this.#held;
    this.#held = null;
    if (held !== null) await rm(held.file, { force: true });
  }

  async #gradients(student: Student, progress: (done: number) => void): Promise<string> {
    if (this.#held?.student === student) return this.#held.file;
    await this.close();
    const file = path.join(await this.#context.home.scratch(), 'step-fisher.safetensors');
    await runFisher(this.#context, file, progress, { student, bySample: true });
    this.#held = { student, file };
    return file;
  }
}
