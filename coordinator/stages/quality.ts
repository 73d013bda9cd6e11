// Quality of one model on the evaluation data, stored.
import { EspalierError } from '../../shared/errors.ts';
import { type JobContext, storedStage } from '../job/job-context.ts';
import type { ModelBlobs } from '../job/model-blobs.ts';
import type { LastStage } from '../prune-settings.ts';
import { type ModelForm, measureQuality } from './evaluate.ts';

export type QualityStage = 'dense' | LastStage;

export interface StoredScores {
  /** Metric that is reported first. */
  readonly primary: string;
  readonly values: Readonly<Record<string, number>>;
}

/** Scores of a model (as it is, or a student of it), from the state or measured. */
export function storedQuality(
  context: JobContext,
  model: ModelBlobs,
  form: ModelForm,
  options: { name: string; budget?: string },
): Promise<{ value: StoredScores; seconds: number }> {
  const { evaluation, home } = context;
  if (evaluation === null) throw new EspalierError('internal', 'quality: got no evaluation data, expected some');
  return storedStage<StoredScores>(context, 'evaluate', {
    ...options,
    steps: evaluation.plan.shards.length,
    read: () => home.readJson<{ value: StoredScores; seconds: number }>(options.name),
    run: (progress) => measureQuality(context, model, form, evaluation, progress),
    write: (value, seconds) => home.writeJson(options.name, { value, seconds }),
  });
}
