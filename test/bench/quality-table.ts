// The quality study as Markdown: every cell beside the published method, and the two criteria that it must meet.
import { PUBLISHED } from './published-quality.ts';
import type { QualityRecord } from './quality.ts';
import { summary } from './summary.ts';

const DEV_ROWS: Readonly<Record<string, number>> = { sst2: 872, mrpc: 408, stsb: 1500, mnli: 6238, squad: 1638 };

/** Seeds that a published cell is the mean of. */
const PUBLISHED_SEEDS = 5;

/** One table a model, then the verdict. A cell holds when our mean is at least the published mean less twice the
 * standard error of the difference, less one row of the evaluation data. */
export function qualityTable(records: readonly QualityRecord[]): string {
  const lines: string[] = [];
  const differences: number[] = [];
  const failed: string[] = [];
  for (const [model, published] of Object.entries(PUBLISHED)) {
    const own = records.filter((record) => record.model === model);
    if (own.length === 0) continue;
    const row = 100 / DEV_ROWS[model.split('-')[1]];
    const dense = own[0].quality.dense ?? Number.NaN;
    lines.push(
      '',
      `### ${model}: ${published.metric}, dense ${(100 * dense).toFixed(2)} (published run ${published.dense.toFixed(2)})`,
      '',
    );
    lines.push(
      '| MACs | search | rearranged | tuned | published, exact solves | difference | least | MACs used, most |',
      '|---|---|---|---|---|---|---|---|',
    );
    for (const [budget, cell] of Object.entries(published.budgets)) {
      const runs = own.filter((record) => record.budget === Number(budget));
      if (runs.length === 0) continue;
      const stage = (name: 'search' | 'rearrange' | 'tune') =>
        summary(runs.map(({ quality }) => 100 * (quality[name] ?? Number.NaN)));
      const text = ({ mean, deviation }: { mean: number; deviation: number }) =>
        `${mean.toFixed(2)} ± ${deviation.toFixed(2)}`;
      const tuned = stage('tune');
      const least =
        cell.mean - 2 * Math.sqrt(tuned.deviation ** 2 / runs.length + cell.deviation ** 2 / PUBLISHED_SEEDS) - row;
      const difference = tuned.mean - cell.mean;
      differences.push(difference);
      const holds = tuned.mean >= least;
      if (!holds) failed.push(`${model} at ${budget}`);
      const most = Math.max(...runs.map(({ macs }) => macs));
      lines.push(
        `| ${budget} | ${text(stage('search'))} | ${text(stage('rearrange'))} | ${holds ? text(tuned) : `**${text(tuned)}**`} | ${text(cell)} | ${difference >= 0 ? '+' : ''}${difference.toFixed(2)} | ${least.toFixed(2)} | ${most.toFixed(4)} |`,
      );
    }
  }
  const mean = summary(differences).mean;
  const devices = [...new Set(records.map(({ device }) => device))].join(', ');
  const verdict = [
    '# Quality of the method',
    '',
    'Seven development models, seeds 0 to 4, 2048 calibration samples drawn without replacement, all budgets of a seed from',
    'one gradient pass; scores times 100 on the whole evaluation data, mean ± sample standard deviation over the seeds. The',
    '"published" column is the published method with its systems solved exactly in float64, run with its authors\' functions',
    'on the same models and data (seeds 0 to 4, drawn with replacement). A tuned mean in bold lies below its least: the',
    'published mean less twice the standard error of the difference, less one row of the evaluation data.',
    '',
    `Measured on ${devices}, with \`npm run quality -- --models MODELS --data DATA --results docs/results.json --table docs/results.md\`,`,
    'which goes on where it stopped; docs/results.json holds every run with its kept counts and tuning.',
    '',
    `- Cells: ${differences.length}. Below their least: ${failed.length === 0 ? 'none' : failed.join(', ')}.`,
    `- Average difference over all cells: ${mean >= 0 ? '+' : ''}${mean.toFixed(3)} points; at least -0.1 is asked for.`,
  ];
  return `${[...verdict, ...lines].join('\n')}\n`;
}
