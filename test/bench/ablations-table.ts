// Variants of the gradual method beside its default as Markdown: a summary, what the default scores, and of each variant a table of
// its differences by model and budget.
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
  /** Mean, and that of the default's same seeds; null where none was told. */
  readonly divergence: number | null;
  readonly usualDivergence: number | null;
  /** The most of all seeds, of what the budget allows. */
  readonly macsOfBudget: number;
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
        cells.push({
          ...{ model, budget, variant, dense: 100 * own[0].dense, scores: some, differences },
          verdict: verdictOf(differences),
          divergence: meanDivergence(own),
          usualDivergence: meanDivergence(usual.filter(({ seed }) => seeds.includes(seed))),
          macsOfBudget: Math.max(...own.map(({ macs }) => macs / budget)),
        });
      }
    }
  return cells;
}

function meanDivergence(runs: readonly AblationRecord[]): number | null {
  const told = runs.flatMap(({ divergence }) => (divergence === null ? [] : [divergence]));
  return told.length === 0 ? null : summary(told).mean;
}

export function ablationsTable(records: readonly AblationRecord[], variants: readonly string[]): string {
  const cells = ablationCells(records, variants);
  const devices = [...new Set(records.map(({ device }) => device))].join(', ');
  const budgets = [...new Set(cells.map(({ budget }) => budget))].sort((a, b) => b - a);
  const mostMacs = Math.max(...cells.map(({ macsOfBudget }) => macsOfBudget));
  const measured = variants.filter((own) => own !== DEFAULT_VARIANT && cells.some(({ variant }) => variant === own));
  return `${[
    ABLATIONS_HEADING,
    '',
    'Variants of the gradual method on the same models, data and seeds, one thing changed at a time: scores times 100 on the whole',
    'evaluation data, mean ± sample standard deviation over the seeds. The evaluation data only reports. A variant **wins** or',
    '**loses** a cell, one model and budget, where the mean of its differences from the default of the same seeds is larger than their',
    `standard deviation, of at least ${LEAST_SEEDS} seeds. Of cells that differ by chance alone, 23, 14 and 9 in 100 with 3, 4 and 5 seeds`,
    `would win or lose. No model has more than ${mostMacs.toFixed(4)} of the MACs that its budget allows.`,
    '',
    `Measured on ${devices}, with \`npm run ablations -- --models MODELS --data DATA --results docs/results-ablations.json --table docs/results.md\`.`,
    '',
    'Cells by verdict, and for each budget the mean difference of the models that have a verdict ± its standard error, and how',
    'many these are.',
    '',
    ...headOf(['variant', 'flags of `espalier prune`', ...VERDICTS, ...budgets]),
    ...measured.map((variant) => overallRow(variant, { records, cells, budgets })),
    '',
    '### The default',
    '',
    'Scores; how many seeds; the divergence from the dense model on held-out calibration samples.',
    '',
    ...matrix(cells, { variant: DEFAULT_VARIANT, budgets, show: showScore }),
    '',
    '### Differences from the default',
    '',
    'The mean difference of the same seeds; how many of them won; how many times the divergence of the default. Bold: wins or loses.',
    ...measured.flatMap((variant) => [
      '',
      `#### ${variant}`,
      '',
      ...matrix(cells, { variant, budgets, show: showDifference }),
    ]),
  ].join('\n')}\n`;
}

interface Study {
  readonly records: readonly AblationRecord[];
  readonly cells: readonly AblationCell[];
  readonly budgets: readonly number[];
}

function overallRow(variant: string, { records, cells, budgets }: Study): string {
  const own = cells.filter((cell) => cell.variant === variant);
  const flags = [...new Set(records.filter((run) => run.variant === variant).map((run) => run.flags))];
  return row([
    ...[variant, flags.map((words) => `\`${words}\``).join(', ')],
    ...VERDICTS.map((verdict) => own.filter((cell) => cell.verdict === verdict).length),
    ...budgets.map((budget) => ofModels(own.filter((cell) => cell.budget === budget))),
  ]);
}

/** Mean of models' mean differences with its standard error, which the seeds of each tell. */
function ofModels(cells: readonly AblationCell[]): string {
  const judged = cells.filter(({ verdict }) => verdict !== 'too few seeds');
  if (judged.length === 0) return '';
  const models = judged.map(({ differences }) => ({ ...summary(differences), seeds: differences.length }));
  const variance = models.reduce((sum, { deviation, seeds }) => sum + deviation ** 2 / seeds, 0);
  const error = Math.sqrt(variance) / models.length;
  return `${signed(summary(models.map((model) => model.mean)).mean)} ± ${error.toFixed(2)}, ${models.length}`;
}

interface Matrix {
  readonly variant: string;
  readonly budgets: readonly number[];
  readonly show: (cell: AblationCell) => string;
}

/** Models by budgets. */
function matrix(all: readonly AblationCell[], { variant, budgets, show }: Matrix): string[] {
  const cells = all.filter((cell) => cell.variant === variant);
  const models = new Map(cells.map(({ model, dense }) => [model, dense]));
  return [
    ...headOf(['model', ...budgets]),
    ...[...models].map(([model, dense]) => {
      const of = (budget: number) => cells.find((cell) => cell.model === model && cell.budget === budget);
      const name = variant === DEFAULT_VARIANT ? `${model}, dense ${dense.toFixed(2)}` : model;
      return row([name, ...budgets.map(of).map((cell) => (cell === undefined ? '' : show(cell)))]);
    }),
  ];
}

function showScore({ scores, divergence }: AblationCell): string {
  const told = divergence === null ? '' : `, ${divergence.toPrecision(3)}`;
  return `${mean(scores, (value) => value.toFixed(2))}, ${scores.length}${told}`;
}

function showDifference({ differences, verdict, divergence, usualDivergence }: AblationCell): string {
  const won = differences.filter((difference) => difference > 0).length;
  const text = mean(differences, signed);
  const isTold = divergence !== null && usualDivergence !== null && usualDivergence > 0;
  return [
    verdict === 'wins' || verdict === 'loses' ? `**${text}**` : text,
    `${won} of ${differences.length}`,
    ...(isTold ? [`× ${(divergence / usualDivergence).toFixed(2)}`] : []),
  ].join(', ');
}

/** With the deviation where there is one. */
function mean(values: readonly number[], show: (value: number) => string): string {
  return values.length > 1 ? spread(values, show) : show(values[0]);
}

function headOf(names: readonly (string | number)[]): string[] {
  return [row(names), row(names.map(() => '---'))];
}

const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
