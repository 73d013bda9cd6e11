// Methods beside each other as Markdown: means over seeds, differences of the same seeds, and what the last method must reach.
import type { StudyRecord } from './study-record.ts';
import { signed, spread, summary } from './summary.ts';

/** One pruned model of the comparison. */
export interface MethodRecord extends StudyRecord {
  readonly method: string;
}

export const METHODS_HEADING = '## Methods compared';

/** Mean scores times 100 that gradual pruning must reach, by model and budget. */
const GOALS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'mini-squad': { '0.5': 42.5, '0.4': 41.5, '0.3': 39.5, '0.2': 35 },
  'mini-mnli': { '0.4': 58.7, '0.3': 58.6, '0.2': 56 },
  'mini-sst2': { '0.4': 84.6, '0.3': 83.0, '0.2': 82.3 },
  'distil-sst2': { '0.4': 80.6, '0.3': 80.2, '0.2': 78.5 },
  'mini-stsb': { '0.2': 72 },
};

/** A row a model and budget that every method has run, over the seeds that all of them have. */
export function methodsTable(records: readonly MethodRecord[], methods: readonly string[]): string {
  const rows: string[] = [];
  const below: string[] = [];
  const [first] = methods;
  const last = methods[methods.length - 1];
  for (const model of new Set(records.map((record) => record.model)))
    for (const budget of [...new Set(records.map((record) => record.budget))].sort((a, b) => b - a)) {
      const runs = (method: string) =>
        records.filter((run) => run.model === model && run.budget === budget && run.method === method);
      const seeds = runs(first)
        .map(({ seed }) => seed)
        .filter((seed) => methods.every((method) => runs(method).some((run) => run.seed === seed)))
        .sort((a, b) => a - b);
      if (seeds.length === 0) continue;
      const scores = (method: string) =>
        seeds.map((seed) => 100 * runs(method).find((run) => run.seed === seed)!.score);
      const differences = scores(last).map((score, i) => score - scores(first)[i]);
      const won = differences.filter((difference) => difference > 0).length;
      const goal = GOALS[model]?.[`${budget}`];
      const isBelow = last === 'gradual' && goal !== undefined && summary(scores(last)).mean < goal;
      if (isBelow) below.push(`${model} at ${budget}`);
      const divergences = runs(last).flatMap(({ divergence }) => (divergence === null ? [] : [divergence]));
      rows.push(
        [
          '',
          `${model} (dense ${(100 * runs(first)[0].dense).toFixed(2)})`,
          budget,
          ...methods.map((method) =>
            isBelow && method === last ? `**${spread(scores(method))}**` : spread(scores(method)),
          ),
          `${spread(differences, signed)}, ${won} of ${seeds.length}`,
          goal ?? '',
          divergences.length === 0 ? '' : summary(divergences).mean.toFixed(3),
          Math.max(...runs(last).map(({ macs }) => macs)).toFixed(4),
          '',
        ]
          .join(' | ')
          .trim(),
      );
    }
  const devices = [...new Set(records.map(({ device }) => device))].join(', ');
  const samples = [...new Set(records.map((record) => record.samples))].join(', ');
  return `${[
    METHODS_HEADING,
    '',
    `The same models, data and seeds with each method, ${samples} calibration samples; scores times 100 on the whole evaluation`,
    'data, mean ± sample standard deviation over the seeds. The difference is of the same seeds, last method less first, with the',
    "seeds that it won. The divergence is the last method's from the dense model on held-out calibration samples. A mean in bold",
    'lies below its goal.',
    '',
    `Measured on ${devices}, with \`npm run methods -- --models MODELS --data DATA --results docs/results-methods.json --table docs/results.md\`.`,
    '',
    `- Below their goal: ${below.length === 0 ? 'none' : below.join(', ')}.`,
    '',
    `| model | MACs | ${methods.join(' | ')} | difference, won | goal | divergence | MACs used, most |`,
    `|${' --- |'.repeat(6 + methods.length)}`,
    ...rows,
  ].join('\n')}\n`;
}
