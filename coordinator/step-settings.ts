// What settings of the gradual method come to in one step.
import type { GradualSettings } from './gradual-settings.ts';

/** Without what the step's share decides. */
export type StepSettings = Omit<GradualSettings, 'refit'> & {
  readonly refit: Exclude<GradualSettings['refit'], 'by-share'>;
};

/** With `--refit by-share` steps to shares below this one refit all weights, those above and to it outputs alone. In the ablation
 * study (docs/method.md) a refit of inputs helped at 0.2 of the MACs, and at 0.3 and more it helped nowhere. */
export const LEAST_SHARE_OF_OUTPUTS = 0.3;

/** @param share that the step goes to. */
export function stepSettings(settings: GradualSettings, share: number): StepSettings {
  const { refit } = settings;
  if (refit !== 'by-share') return { ...settings, refit };
  return { ...settings, refit: share < LEAST_SHARE_OF_OUTPUTS ? 'all-weights' : 'weights' };
}
