// One target of a job: search, rearrange, tune, with the quality after each. How its masks are found is the target's.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { keptCounts, parameterCount } from '../../pruning/compact.ts';
import { maskMacs } from '../../pruning/cost.ts';
import type { Masks } from '../../pruning/masks.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../pruning/tuning.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Costs } from '../job/budget.ts';
import { type JobContext, storedStage } from '../job/job-context.ts';
import { masksFromTensors, masksToTensors } from '../job/mask-set.ts';
import { maskedStudent, type Student } from '../job/student.ts';
import type { GradualStepReport, TuningReport } from '../prune-report.ts';
import { type LastStage, lastStage, type PruneRequest } from '../prune-settings.ts';
import type { MaskSearch, Target } from './find-masks.ts';
import type { FisherShelf } from './fisher.ts';
import { type QualityStage, type StoredScores, storedQuality } from './quality.ts';
import { measuredPace } from './task-pace.ts';
import { tuneStage } from './tune-stage.ts';

/** A student that meets its target, as its method made it. */
export interface PrunedBudget extends Student {
  readonly tuning: readonly TuningReport[];
  /** Of the method "gradual" alone: the steps that led there. */
  readonly steps?: readonly GradualStepReport[];
  readonly heads: readonly number[];
  readonly neurons: readonly number[];
  readonly macs: number;
  readonly parameters: number;
  readonly seconds: {
    readonly search: number;
    readonly rearrange: number;
    readonly tune: number;
    readonly evaluate: number;
  };
  /** Masks after each stage but the last. */
  readonly before: Partial<Record<QualityStage, Masks>>;
  /** Scores of the masks after search and rearrange; the last stage is measured on what was exported. */
  readonly scores: Partial<Record<QualityStage, StoredScores>>;
}

const ORDER: readonly LastStage[] = ['search', 'rearrange', 'tune'];

/** Masks and scales of one target, from the job's Fisher information. Every stage is stored under the target's folder. */
export async function pruneToTarget(
  context: JobContext,
  fisher: Pick<FisherShelf, 'seconds' | 'file' | 'importance'>,
  search: MaskSearch,
  costs: Costs,
  target: Target,
  settings: Pick<PruneRequest, 'method' | 'damping'>,
): Promise<PrunedBudget> {
  if (settings.method === 'gradual')
    throw new EspalierError('internal', `${target.text}: got the method gradual, expected a stage of the paper's`);
  const { config } = context.checkpoint;
  const { text, fraction } = target;
  const name = (stage: string) => `${target.stages}/${stage}`;
  const last = lastStage(settings.method);
  const stages = ORDER.slice(0, ORDER.indexOf(last) + 1);
  const before: Partial<Record<QualityStage, Masks>> = {};
  const scores: Partial<Record<QualityStage, StoredScores>> = {};
  const seconds = { search: 0, rearrange: 0, tune: 0, evaluate: 0 };
  const measure = async (stage: QualityStage, masks: Masks) => {
    if (stage === last) return;
    before[stage] = masks;
    if (context.evaluation === null) return;
    const found = await stageQuality(context, target, stage, masks);
    scores[stage] = found.value;
    seconds.evaluate += found.seconds;
  };

  const searched = await maskStage(context, { stage: 'search', budget: text, name: name('search') }, async () =>
    search(fraction, fisher.importance),
  );
  seconds.search = searched.seconds;
  let masks = searched.value;
  await measure('search', masks);
  let tuning: readonly TuningReport[] = [];
  if (stages.includes('rearrange')) {
    const rearranged = await maskStage(context, { stage: 'rearrange', budget: text, name: name('rearrange') }, () =>
      context.compute.rearrange(fisher.file, searched.value),
    );
    seconds.rearrange = rearranged.seconds;
    masks = rearranged.value;
    await measure('rearrange', masks);
  }
  if (stages.includes('tune')) {
    // The published teacher: the search's masks at the square root of the share, not rearranged.
    const tuned = await tuneStage(context, {
      teacher: search(Math.sqrt(fraction), fisher.importance),
      student: masks,
      settings: { ...DEFAULT_TUNING_SETTINGS, damping: settings.damping },
      pace: measuredPace({ expectedMs: expectedTuningMs(fisher.seconds, masks) }),
      budget: text,
      name: name('tune'),
    });
    seconds.tune = tuned.seconds;
    masks = tuned.value.masks;
    tuning = tuned.value.reports;
  }
  return {
    ...maskedStudent(masks),
    ...studentSizes(config, costs, masks),
    tuning,
    seconds,
    before,
    scores,
  };
}

/** What tuning one sub-layer takes at the most where gradients of all samples took so long: they are three passes through all
 * sub-layers, a sub-layer's sums and solves less than six through it. */
function expectedTuningMs(gradientSeconds: number, { layers }: Masks): number {
  return (2 * 1000 * gradientSeconds) / (2 * layers);
}

/** What masks leave of a model. */
export function studentSizes(
  config: ModelConfig,
  { tokens }: Pick<Costs, 'tokens'>,
  masks: Masks,
): Pick<PrunedBudget, 'heads' | 'neurons' | 'macs' | 'parameters'> {
  const kept = keptCounts(masks);
  const { hiddenSize, headSize } = config;
  return {
    heads: kept.headsByLayer,
    neurons: kept.neuronsByLayer,
    macs: maskMacs(masks, { tokens, hiddenSize, headSize }),
    parameters: parameterCount(config, kept),
  };
}

/** Scores of a target's masks after a stage on the evaluation data, from the state or measured. */
export function stageQuality(
  context: JobContext,
  target: Pick<Target, 'text' | 'stages'>,
  stage: QualityStage,
  masks: Masks,
): Promise<{ value: StoredScores; seconds: number }> {
  const name = `${target.stages}/quality-${stage}`;
  return storedQuality(context, context.model, maskedStudent(masks), { name, budget: target.text });
}

export interface MaskStage {
  readonly stage: 'search' | 'rearrange';
  /** What events call it. */
  readonly budget: string;
  /** Of the stored stage. */
  readonly name: string;
  /** What progress is told of; left out: there is none. */
  readonly steps?: number;
}

/** Masks, from the state or made. */
export function maskStage(
  context: JobContext,
  { stage, budget, name, steps = 1 }: MaskStage,
  make: (progress: (done: number) => void) => Promise<Masks>,
): Promise<{ value: Masks; seconds: number }> {
  return storedStage<Masks>(context, stage, {
    ...{ name, budget, steps },
    async read() {
      const stored = await context.home.readTensors(name);
      return stored && { value: masksFromTensors(stored.tensors), seconds: Number(stored.meta.seconds) };
    },
    run: make,
    write: (masks, seconds) => context.home.writeTensors(name, masksToTensors(masks), { seconds }),
  });
}
