// Searches beside each other as Markdown: the same models, seeds and budgets, with the tuned quality of each.
import type { QualityRecord } from './quality.ts';

export const SEARCHES_HEADING = '## Searches compared';

export function searchOf({ search = 'paper' }: Pick<QualityRecord, 'search'>): string {
  return search;
}

/** A row a model and budget that every search has run; the mean over the seeds that all of them have, times 100. */
export function searchTable(records: readonly QualityRecord[], searches: readonly string[]): string {
  const rows: string[] = [];
  const sums = searches.map(() => 0);
  const seeds = new Set<number>();
  for (const model of new Set(records.map((record) => record.model)))
    for (const budget of new Set(records.map((record) => record.budget))) {
      const runs = (search: string) =>
        records.filter((record) => record.model === model && record.budget === budget && searchOf(record) === search);
      const shared = runs(searches[0]).filter(({ seed }) =>
        searches.every((search) => runs(search).some((run) => run.seed === seed)),
      );
      if (shared.length === 0) continue;
      const cells = searches.map((search, at) => {
        const own = runs(search).filter((run) => shared.some(({ seed }) => seed === run.seed));
        const quality = (stage: 'search' | 'tune') => mean(own.map((run) => 100 * (run.quality[stage] ?? Number.NaN)));
        sums[at] += quality('tune');
        return `${quality('search').toFixed(2)} | ${quality('tune').toFixed(2)} | ${mean(own.map(({ macs }) => macs)).toFixed(4)}`;
      });
      for (const { seed } of shared) seeds.add(seed);
      rows.push(`| ${model} | ${budget} | ${shared.length} | ${cells.join(' | ')} |`);
    }
  const columns = searches.map((search) => `${search}: searched | tuned | MACs`).join(' | ');
  const averages = searches.map((search, at) => `${search} ${(sums[at] / rows.length).toFixed(2)}`).join(', ');
  const devices = [...new Set(records.map(({ device }) => device))].join(', ');
  return `${[
    SEARCHES_HEADING,
    '',
    'The same models and data with several searches, at the same budgets of MACs: scores times 100 after the search and after',
    'tuning, and the share of MACs that is left, means over the seeds. `knapsack-32` keeps neurons in multiples of 32.',
    '',
    `Measured on ${devices}, seeds ${[...seeds].sort((a, b) => a - b).join(', ')}, with`,
    `\`npm run quality -- --models MODELS --data DATA --results docs/results-search.json --table docs/results.md --searches ${searches.join(',')} --budgets 0.5,0.3 --seeds 0,1,2\`.`,
    '',
    `- Average tuned score over all rows: ${averages}.`,
    '',
    `| model | budget | seeds | ${columns} |`,
    `|${' --- |'.repeat(3 + 3 * searches.length)}`,
    ...rows,
  ].join('\n')}\n`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
