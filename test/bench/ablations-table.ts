// Variants of the gradual method beside its default as Markdown: a summary of all cells, then every model and budget.
import { DEFAULT_VARIANT } from './ablation-variants.ts';
import { pairedScores, type StudyRecord } from './study-record.ts';
import { signed, spread, summary } from './summary.ts';

export interface AblationRecord extends StudyRecord {
  readonly variant: string;
  /** What `espalier prune` is told otherwise than by default. */
  readonly flags: string;
}

export const ABLATIONS_HEADING = '## Ablations of gradual pruning';

/** Fewer seeds have no spread that means anything. */
const LEAST_SEEDS = 3;

export const VERDICTS = ['wins', 'loses', 'within the spread', 'too few seeds'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** Whether a variant differs from the default by more than the seeds' spread: the mean of the differences of the same seeds is
 * farther from 0 than their sample standard deviation. */
export function verdictOf(differences: readonly number[]): Verdict {
  if (differences.length < LEAST_SEEDS) return 'too few seeds';
  const { mean, deviation } = summary(differences);
  if (Math.abs(mean) <= deviation) return 'within the spread';
  return mean > 0 ? 'wins' : 'loses';
}

/** One model and budget of a variant, over the seeds that the default has too. */
export interface AblationCell {
  readonly model: string;
  readonly budget: number;
  readonly variant: string;
  readonly dense: number;
  /** Times 100, by seed. */
  readonly scores: readonly number[];
  /** From the default's of the same seeds. */
  readonly differences: readonly number[];
  readonly verdict: Verdict;
  /** Mean; null where none was told. */
  readonly divergence: number | null;
  /** The most of all seeds. */
  readonly macs: number;
}

/** In the order of the variants, by model and falling budget. */
export function ablationCells(records: readonly AblationRecord[], variants: readonly string[]): AblationCell[] {
  const cells: AblationCell[] = [];
  for (const model of [...new Set(records.map((record) => record.model))].sort())
    for (const budget of [...new Set(records.map((record) => record.budget))].sort((a, b) => b - a)) {
      const runs = (variant: string) =>
        records.filter((run) => run.model === model && run.budget === budget && run.variant === variant);
      const usual = runs(DEFAULT_VARIANT);
      for (const variant of variants) {
        const { seeds, some, others } = pairedScores(runs(variant), usual);
        if (seeds.length === 0) continue;
        const own = runs(variant).filter(({ seed }) => seeds.includes(seed));
        const differences = some.map((score, i) => score - others[i]);
        const told = own.flatMap(({ divergence }) => (divergence === null ? [] : [divergence]));
        cells.push({
          ...{ model, budget, variant, dense: 100 * own[0].dense, scores: some, differences },
          verdict: verdictOf(differences),
          divergence: told.length === 0 ? null : summary(told).mean,
          macs: Math.max(...own.map(({ macs }) => macs)),
        });
      }
    }
  return cells;
}

export function ablationsTable(records: readonly AblationRecord[], variants: readonly string[]): string {
  const cells = ablationCells(records, variants);
  const devices = [...new Set(records.map(({ device }) => device))].join(', ');
  const models = [...new Set(cells.map(({ model }) => model))];
  return `${[
    ABLATIONS_HEADING,
    '',
    'Variants of the gradual method on the same models, data and seeds, one thing changed at a time: scores times 100 on the whole',
    'evaluation data, mean ± sample standard deviation over the seeds, and the difference from the default of the same seeds with the',
    'seeds won. A variant **wins** or **loses** where the mean difference is larger than its standard deviation, and has at least',
    `${LEAST_SEEDS} seeds. The divergence is from the dense model on held-out calibration samples. The evaluation data only reports.`,
    '',
    `Measured on ${devices}, with \`npm run ablations -- --models MODELS --data DATA --results docs/results-ablations.json --table docs/results.md\`.`,
    '',
    '| variant | flags of `espalier prune` | cells | wins | loses | within the spread | mean difference |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...variants
      .filter((variant) => variant !== DEFAULT_VARIANT && cells.some((cell) => cell.variant === variant))
      .map((variant) => overallRow(variant, records, cells)),
    ...models.flatMap((model) => modelRows(cells.filter((cell) => cell.model === model))),
  ].join('\n')}\n`;
}

function overallRow(variant: string, records: readonly AblationRecord[], all: readonly AblationCell[]): string {
  const cells = all.filter((cell) => cell.variant === variant);
  const count = (verdict: Verdict) => cells.filter((cell) => cell.verdict === verdict).length;
  const flags = [...new Set(records.filter((run) => run.variant === variant).map((run) => run.flags))];
  return row([
    ...[variant, flags.map((words) => `\`${words}\``).join(', '), cells.length],
    ...(['wins', 'loses', 'within the spread'] as const).map(count),
    signed(summary(cells.map(({ differences }) => summary(differences).mean)).mean),
  ]);
}

function modelRows(cells: readonly AblationCell[]): string[] {
  return [
    '',
    `### ${cells[0].model}, dense ${cells[0].dense.toFixed(2)}`,
    '',
    '| MACs | variant | score | difference | won | verdict | divergence | MACs used, most |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...cells.map(({ budget, variant, scores, differences, verdict, divergence, macs }) =>
      row([
        ...[budget, variant, spread(scores)],
        ...(variant === DEFAULT_VARIANT
          ? ['', '', '']
          : [
              spread(differences, signed),
              `${differences.filter((difference) => difference > 0).length} of ${differences.length}`,
              verdict === 'wins' || verdict === 'loses' ? `**${verdict}**` : verdict,
            ]),
        ...[divergence === null ? '' : divergence.toPrecision(3), macs.toFixed(4)],
      ]),
    ),
  ];
}

const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
