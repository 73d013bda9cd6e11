// The flags of `npm run bench:rounding`.
import { FlagChecks, readFlags, text } from '../flag-checks.ts';

export interface RoundingSettings {
  /** Folders of models, and of data by task. */
  readonly models: string;
  readonly data: string;
  /** Names of models, which end in their task's: mini-sst2. */
  readonly only: readonly string[];
  readonly seeds: readonly number[];
  readonly budgets: readonly number[];
  /** Calibration samples. */
  readonly samples: number;
  /** Rows of the evaluation data, from its first. */
  readonly rows: number;
  /** File to write; null: none. */
  readonly json: string | null;
}

const FLAGS = 'docs/performance.md shows the flags, test/bench/rounding.ts lists them';

const OPTIONS = {
  models: { type: 'string' },
  data: { type: 'string' },
  only: text('mini-sst2,mini-mnli,mini-squad'),
  seeds: text('0,1'),
  budgets: text('0.5,0.3'),
  samples: text(256),
  rows: text(400),
  json: { type: 'string' },
} as const;

/** @throws EspalierError "usage" that names every flag that is wrong. */
export function parseRounding(args: readonly string[]): RoundingSettings {
  const flags = readFlags(args, OPTIONS, FLAGS);
  const checks = new FlagChecks();
  const { models = '', data = '', json = null } = flags;
  for (const [name, folder] of Object.entries({ models, data }))
    if (folder === '') checks.refuse(name, 'nothing', 'a folder');
  const budgets = flags.budgets.split(',').map(Number);
  if (!budgets.every((budget) => budget > 0 && budget <= 1))
    checks.refuse('budgets', `"${flags.budgets}"`, 'numbers above 0 up to 1');
  const seeds = flags.seeds.split(',').map((seed) => checks.whole('seeds', seed, 0));
  if (seeds.length < 2)
    checks.refuse('seeds', `"${flags.seeds}"`, 'two or more, whose spread is what rounding is judged by');
  const settings: RoundingSettings = {
    ...{ models, data, json, budgets, seeds, only: flags.only.split(',') },
    samples: checks.whole('samples', flags.samples),
    rows: checks.whole('rows', flags.rows),
  };
  checks.end(FLAGS);
  return settings;
}
