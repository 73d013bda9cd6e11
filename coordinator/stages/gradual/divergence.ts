// Stage "divergence": how far a student's outputs on the held-out calibration samples are from the dense model's. It is told,
// and decides nothing, but where a step is asked to divide heads and neurons by it.
import type { TaskKind } from '../../../checkpoint/model-config.ts';
import { sigmoidDivergence, softmaxDivergence, squaredDifference } from '../../../pruning/divergence.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { type JobContext, storedStage } from '../../job/job-context.ts';
import type { Student } from '../../job/student.ts';
import { modelOutputs } from '../evaluate.ts';

/** Kullback-Leibler divergences beyond this marked the runs that had lost most, and no others: a last layer without heads
 * (docs/method.md). */
const ALARMING = 0.15;

/** Of the products that both models' outputs come from: a comparison stands it, a score that users see does not get it. */
const OUTPUT_PRECISION = 'tf32';

/** The dense model's outputs on the held-out samples of a job, computed when first asked for. */
export class DenseOutputs {
  readonly #context: JobContext;
  #outputs: Promise<readonly Float32Array[]> | null = null;

  constructor(context: JobContext) {
    this.#context = context;
  }

  get(): Promise<readonly Float32Array[]> {
    this.#outputs ??= heldOutOutputs(this.#context, null);
    return this.#outputs;
  }
}

/** Divergence of a student, from the state or measured; null where the plan holds nothing out.
 * @param step what events call it. @param name of the stored stage.
 * @param onAsked called when workers have been asked for all that it takes, where they are. */
export async function storedDivergence(
  context: JobContext,
  dense: DenseOutputs,
  student: Student,
  { step, name, onAsked = () => {} }: { readonly step: string; readonly name: string; readonly onAsked?: () => void },
): Promise<{ value: number | null; seconds: number }> {
  const { home, calibration, checkpoint } = context;
  const { plan } = calibration;
  const { task, outputs } = checkpoint.config;
  const steps = plan.shards.length - plan.fitShards;
  if (steps === 0) return { value: null, seconds: 0 };
  return storedStage<number>(context, 'divergence', {
    ...{ name, budget: step, steps },
    read: () => home.readJson<{ value: number; seconds: number }>(name),
    async run(progress) {
      const asked = [dense.get(), heldOutOutputs(context, student, progress)];
      onAsked();
      await Promise.allSettled(asked);
      const [of, own] = await Promise.all(asked);
      return meanDivergence(of, own, { task, outputs });
    },
    write: (value, seconds) => home.writeJson(name, { value, seconds }),
    note: (value) => `${value.toFixed(4)}${task === 'regression' ? ' squared' : ''} from the dense model`,
  });
}

/** The alarm. @param value a step's divergence; null: nothing judges. */
export function tellOfLarge({ emit, checkpoint }: JobContext, step: string, value: number | null): void {
  if (value === null || checkpoint.config.task === 'regression' || value <= ALARMING) return;
  emit({
    kind: 'notice',
    text:
      `${step}: outputs diverge by ${value.toFixed(3)} from the dense model's on held-out samples; ` +
      `models beyond ${ALARMING} have lost much of their quality`,
  });
}

function heldOutOutputs(
  context: JobContext,
  student: Student | null,
  progress?: (done: number) => void,
): Promise<Float32Array[]> {
  const { calibration, model } = context;
  const { fitShards, shards } = calibration.plan;
  const span = { first: fitShards, end: shards.length };
  return modelOutputs(context, model, student, calibration, { progress, span, precision: OUTPUT_PRECISION });
}

/** Mean over the samples of what a sample's outputs diverge by: of question answering the mean of start and end, of
 * classified tokens the mean over the tokens, of regression the squared difference.
 * @param dense [samples] of logits, [tokens * outputs] where the task is by token. @param pruned as `dense`.
 * @throws EspalierError "not_finite" where logits are so large that no divergence is. */
export function meanDivergence(
  dense: readonly Float32Array[],
  pruned: readonly Float32Array[],
  { task, outputs }: { readonly task: TaskKind; readonly outputs: number },
): number {
  let sum = 0;
  for (const [sample, own] of dense.entries()) sum += sampleDivergence(own, pruned[sample], task, outputs);
  const mean = sum / dense.length;
  if (!Number.isFinite(mean))
    throw new EspalierError(
      'not_finite',
      `divergence: got ${mean} of ${dense.length} samples, expected a finite number`,
    );
  // Rounding makes equal distributions differ by less than nothing.
  return Math.max(0, mean);
}

function sampleDivergence(dense: Float32Array, pruned: Float32Array, task: TaskKind, outputs: number): number {
  switch (task) {
    case 'single-label-classification':
      return softmaxDivergence(dense, pruned);
    case 'multi-label-classification':
      return sigmoidDivergence(dense, pruned);
    case 'regression':
      return squaredDifference(dense, pruned);
    case 'question-answering': {
      // Each output is a distribution over the tokens.
      const ofOutput = (all: Float32Array, output: number) => all.filter((_, at) => at % outputs === output);
      let sum = 0;
      for (let output = 0; output < outputs; output++)
        sum += softmaxDivergence(ofOutput(dense, output), ofOutput(pruned, output));
      return sum / outputs;
    }
    case 'token-classification': {
      const tokens = dense.length / outputs;
      let sum = 0;
      for (let at = 0; at < dense.length; at += outputs)
        sum += softmaxDivergence(dense.subarray(at, at + outputs), pruned.subarray(at, at + outputs));
      return sum / tokens;
    }
  }
}
