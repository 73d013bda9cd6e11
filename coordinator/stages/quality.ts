// Quality of one model on the evaluation data, stored.
import { EspalierError } from '../../shared/errors.ts';
import { type JobContext, storedStage } from '../job/job-context.ts';
import type { ModelBlobs } from '../job/model-blobs.ts';
import type { LastStage } from '../prune-settings.ts';
import { measureQuality, type Student } from './evaluate.ts';

export type QualityStage = 'dense' | LastStage;

export interface StoredScores {
  /** Metric that is reported first. */
  readonly primary: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Scores of a model (under masks, where some are given), from the state or measured. */
export function storedQuality(
  context: JobContext,
  model: ModelBlobs,
  student: Student,
  options: { name: string; budget?: string },
): Promise<{ value: StoredScores; seconds: number }> {
  const { evaluation, home } = context;
  if (evaluation === null) throw new EspalierError('internal', 'quality: got no evaluation data, expected some');
  return storedStage<StoredScores>(context, 'evaluate', {
    ...options,
    steps: evaluation.plan.shards.length,
    read: () => home.readJson<{ value: StoredScores; seconds: number }>(options.name),
    run: (progress) => measureQuality(context, model, student, evaluation, progress),
    write: (value, seconds) => home.writeJson(options.name, { value, seconds }),
  });
}
