// What is varied of the gradual method, one thing at a time. A new setting of the method gets a row here.
import path from 'node:path';
import type { PruneRequest, PruneSettings } from '../../coordinator/prune-settings.ts';
import { commandWords } from '../../coordinator/report/command-words.ts';
import { benchSettings } from './bench-settings.ts';

export type Changes = Partial<Pick<PruneSettings, 'gradual' | 'samples' | 'search' | 'labels'>> & {
  /** A folder of the data, in place of the task's own. */
  readonly task?: string;
};

/** null: the model has no such variant. */
export type Variant = Changes | ((task: string) => Changes | null);

/** Tasks with texts in columns of the same names, which no model of the task was trained on. */
const OTHER_TEXTS: Readonly<Record<string, string>> = { mrpc: 'stsb', stsb: 'mnli', mnli: 'stsb' };

export const DEFAULT_VARIANT = 'default';

export const VARIANTS: Readonly<Record<string, Variant>> = {
  [DEFAULT_VARIANT]: {},
  'one-step': { gradual: { steps: 'one' } },
  'equal-weights': { gradual: { positionWeights: 'equal' } },
  scales: { gradual: { refit: 'scales' } },
  'all-weights': { gradual: { refit: 'all-weights' } },
  'by-share': { gradual: { refit: 'by-share' } },
  'scales-one-step': { gradual: { steps: 'one', refit: 'scales' } },
  rearrange: { gradual: { rearrangeSteps: 'on' } },
  split: { gradual: { split: 'divergence' } },
  knapsack: { search: 'knapsack' },
  'samples-4096': { samples: 4096 },
  'samples-8192': { samples: 8192 },
  'no-labels': { labels: 'model' },
  'other-texts': (task) => (OTHER_TEXTS[task] === undefined ? null : { labels: 'model', task: OTHER_TEXTS[task] }),
};

/** What a variant changes of a model's job, and the flags of `espalier prune` that are then not as by default; null: the model
 * has no such variant.
 * @param task of the model, and the name of its data's folder. @param data folder of all data. @param samples where the variant
 * says nothing. */
export function variantOf(
  name: string,
  { task, data, samples }: { readonly task: string; readonly data: string; readonly samples: number },
): { readonly changes: Partial<PruneSettings>; readonly flags: string } | null {
  const variant = VARIANTS[name];
  const changed = typeof variant === 'function' ? variant(task) : variant;
  if (changed === null) return null;
  const { task: other, ...changes } = changed;
  const file = (folder: string) => path.join(folder, 'train.jsonl');
  const flags = flagsOf({ data: file(task) }, { samples, data: file(other ?? task), ...changes });
  return { changes: { ...changes, ...(other !== undefined && { data: file(path.join(data, other)) }) }, flags };
}

/** Flags of a command line that are not those of another. */
function flagsOf(usual: Partial<PruneRequest>, changed: Partial<PruneRequest>): string {
  const base = benchSettings({ model: '', data: '', out: '', samples: 2048, workers: undefined, device: 'auto' });
  const flagged = (changes: Partial<PruneRequest>) => {
    const request: PruneRequest = { ...base, method: 'gradual', ...changes };
    const words = commandWords(request, { model: 'MODEL', data: request.data, evaluation: null });
    return words.join(' ').split(/ (?=--)/);
  };
  const known = new Set(flagged(usual));
  return flagged(changed)
    .filter((flag) => !known.has(flag))
    .join(' ');
}
