// Searches beside each other as Markdown: the same models, seeds and budgets, with the tuned quality of each.
import type { QualityRecord } from './quality.ts';
import { summary } from './summary.ts';

export const SEARCHES_HEADING = '## Searches compared';

export function searchOf({ search = 'paper' }: Pick<QualityRecord, 'search'>): string {
  return search;
}

/** A row a model and budget that every search has run; the mean over the seeds that all of them have, times 100. */
export function searchTable(records: readonly QualityRecord[], searches: readonly string[]): string {
  const rows: string[] = [];
  const sums = searches.map(() => 0);
  const seeds = new Set<number>();
  const models = new Set<string>();
  const budgets = new Set<number>();
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
        const quality = (stage: 'search' | 'tune') =>
          summary(own.map((run) => 100 * (run.quality[stage] ?? Number.NaN))).mean;
        sums[at] += quality('tune');
        return `${quality('search').toFixed(2)} | ${quality('tune').toFixed(2)} | ${summary(own.map(({ macs }) => macs)).mean.toFixed(4)}`;
      });
      for (const { seed } of shared) seeds.add(seed);
      models.add(model);
      budgets.add(budget);
      rows.push(`| ${model} | ${budget} | ${shared.length} | ${cells.join(' | ')} |`);
    }
  const columns = searches.map((search) => `${search}: searched | tuned | MACs`).join(' | ');
  const averages = searches.map((search, at) => `${search} ${(sums[at] / rows.length).toFixed(2)}`).join(', ');
  const devices = [...new Set(records.map(({ device }) => device))].join(', ');
  return `${[
    SEARCHES_HEADING,
    '',
    'The same models and data with several searches, at the same budgets of MACs: scores times 100 after the search and after',
    'tuning, and the share of MACs that is left, means over the seeds. `knapsack-32` keeps neurons in multiples of 32. Under',
    'MACs `knapsack` seeks what `paper` finds exactly: where the kept counts of a row differ, it is by what the grid of the',
    'budget hides, and the difference of the two scores tells how much chance there is in all of them.',
    '',
    `Measured on ${devices}, with`,
    '',
    '```',
    'npm run quality -- --models MODELS --data DATA --results docs/results-search.json --table docs/results.md \\',
    `  --searches ${searches.join(',')} --only ${[...models].join(',')} \\`,
    `  --budgets ${list(budgets, -1)} --seeds ${list(seeds, 1)}`,
    '```',
    '',
    `- Average tuned score over all rows: ${averages}.`,
    '',
    `| model | budget | seeds | ${columns} |`,
    `|${' --- |'.repeat(3 + 3 * searches.length)}`,
    ...rows,
  ].join('\n')}\n`;
}

/** Numbers in order, rising (1) or falling (-1). */
function list(values: ReadonlySet<number>, direction: number): string {
  return [...values].sort((a, b) => direction * (a - b)).join(',');
}
