// Calibration samples that judge what a model loses, as the process that has read the data holds them.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { EncodedDataset } from '../../dataset/load-dataset.ts';
import { checkMetric } from '../../dataset/metrics.ts';
import type { DrawnSample, Scoring } from '../../dataset/row-encoder.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { PruneRequest } from '../prune-settings.ts';
import { splitHeldOut } from '../stages/held-out.ts';
import { judgeDrop } from '../threads/judge-drop.ts';
import type { HeldOut } from './job-context.ts';

export interface OpenedHeldOut extends HeldOut {
  readonly drawn: readonly DrawnSample[];
  readonly scoring: Scoring;
}

/** Whether a budget's model is judged by what it loses. */
export function requireHeldOut({ budgets }: Pick<PruneRequest, 'budgets'>): boolean {
  return budgets.some(({ kind }) => kind === 'max-drop');
}

/** Parts what was drawn. @throws EspalierError "data_label" without labels, "usage" for a metric that the task does not
 * have or too few samples. */
export function openHeldOut(
  { data, samples, seed, metric }: Pick<PruneRequest, 'data' | 'samples' | 'seed' | 'metric'>,
  config: ModelConfig,
  { drawn, scoring }: Pick<EncodedDataset, 'drawn' | 'scoring'>,
): { readonly fitted: readonly DrawnSample[]; readonly heldOut: OpenedHeldOut } {
  if (scoring === null)
    throw new EspalierError('data_label', `${data}: got no labels, expected labels to judge --max-drop by`);
  const judged = checkMetric(config.task, metric);
  // The draw stops at the number of samples, even among the windows of a question.
  const mayBeCut = config.task === 'question-answering' && drawn.length >= samples;
  const { fitted, heldOut, examples } = splitHeldOut(drawn, { seed, mayBeCut });
  const rule = { config, scoring, metric: judged, seed };
  return {
    fitted,
    heldOut: {
      samples: heldOut.map(({ sample }) => sample),
      ...{ drawn: heldOut, scoring, examples, metric: judged },
      judge: (outputs, confidence) => judgeDrop(rule, heldOut, outputs, confidence),
    },
  };
}
