// Quality of the method on the development models: every model, seed and budget, stage by stage, beside the published
// method. Resumable: a model and seed that is done is not run again. Takes hours on two cores, minutes on a GPU.
//   node dist/test/bench/quality.js --models FOLDER --data FOLDER --results FILE [--seeds 0,1,2,3,4] [--only MODEL,…]
//     [--damping ridge|reference] [--device cpu|gpu] [--workers N] [--table FILE] [--budgets 0.7,0.6,0.5,0.4,0.3]
//     [--searches paper,knapsack,knapsack-32,…]
// Of one search alone the table is the study beside the published method; of several it compares them. A table replaces
// its own part of FILE and leaves the rest.
import { parseArgs } from 'node:util';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import type { PruneSettings } from '../../coordinator/prune-settings.ts';
import { qualityTable } from './quality-table.ts';
import { runStudy } from './run-study.ts';
import { SEARCHES_HEADING, searchOf, searchTable } from './search-table.ts';
import { readRecords, textOfRecords, withBeginning, withSection, writeAside } from './study-file.ts';
import { STUDY_FLAGS } from './study-flags.ts';

/** One pruned model of the study. */
export interface QualityRecord {
  readonly model: string;
  readonly seed: number;
  readonly budget: number;
  readonly quality: PruneReport['quality'];
  readonly scores: PruneReport['scores'];
  /** MACs left, as a fraction of the dense model's. */
  readonly macs: number;
  readonly heads: readonly number[];
  readonly neurons: readonly number[];
  /** Rung and largest scale of each sub-layer that was tuned. */
  readonly tuning: readonly { layer: number; subLayer: string; rung: string; largestScale: number }[];
  readonly seconds: PruneReport['seconds'];
  readonly device: string;
  readonly damping: string;
  /** "paper", "knapsack", or "knapsack-32" with the neurons of a layer in multiples of 32; left out: the paper's. */
  readonly search?: string;
}

const SAMPLES = 2048;

const { values: flags } = parseArgs({
  options: {
    ...STUDY_FLAGS,
    damping: { type: 'string', default: 'ridge' },
    budgets: { type: 'string', default: '0.7,0.6,0.5,0.4,0.3' },
    searches: { type: 'string', default: 'paper' },
  },
});
if (!flags.models || !flags.data || !flags.results) throw new Error('quality: expected --models, --data and --results');

const { damping, models, data, budgets, workers, device } = flags;
const where = { models, data, budgets, workers, device };
if (damping !== 'ridge' && damping !== 'reference')
  throw new Error(`--damping: got ${damping}, expected ridge or reference`);
const records = await readRecords<QualityRecord>(flags.results);
if (records.some((record) => record.damping !== damping))
  throw new Error(`${flags.results}: holds runs with another damping, expected ${damping} alone`);
const searches = flags.searches.split(',');
for (const model of flags.only.split(',').filter((name) => name !== '')) {
  for (const seed of flags.seeds.split(',').map(Number)) {
    for (const search of searches) {
      const isDone = (record: QualityRecord) =>
        record.model === model && record.seed === seed && searchOf(record) === search;
      if (records.some(isDone)) continue;
      const start = performance.now();
      records.push(...(await run(model, seed, damping, search)));
      await writeAside(flags.results, textOfRecords(records, byRun));
      const seconds = ((performance.now() - start) / 1000).toFixed(0);
      process.stdout.write(`${model} seed ${seed} ${search}: ${seconds} s\n`);
    }
  }
}
const table = searches.length > 1 ? searchTable(records, searches) : qualityTable(records);
if (flags.table) {
  const isComparison = table.startsWith(SEARCHES_HEADING);
  const text = isComparison
    ? await withSection(flags.table, SEARCHES_HEADING, table)
    : await withBeginning(flags.table, table);
  await writeAside(flags.table, text);
}
process.stdout.write(table);

async function run(
  model: string,
  seed: number,
  damping: PruneSettings['damping'],
  search: string,
): Promise<QualityRecord[]> {
  const [kind, multiple = '1'] = search.split('-');
  if (kind !== 'paper' && kind !== 'knapsack') throw new Error(`--searches: got ${search}, expected paper, knapsack-N`);
  const changes = { search: kind, neuronMultiple: Number(multiple), seed, damping } as const;
  const reports = await runStudy({ ...where, model, samples: SAMPLES, changes });
  return reports.map((report) => recordOf(model, report, search));
}

function recordOf(model: string, report: PruneReport, search: string): QualityRecord {
  const { seed, budget, quality, scores, heads, neurons, seconds, damping } = report;
  const tuning = report.tuning.map(({ layer, subLayer, rung, largestScale }) => ({
    layer,
    subLayer,
    rung,
    largestScale,
  }));
  const { kind, model: device } = report.deviceClass;
  return {
    model,
    seed,
    budget,
    quality,
    scores,
    macs: report.macs.pruned / report.macs.dense,
    heads,
    neurons,
    tuning,
    seconds,
    device: `${kind} ${device}`,
    damping,
    ...(search !== 'paper' && { search }),
  };
}

function byRun(a: QualityRecord, b: QualityRecord): number {
  return (
    a.model.localeCompare(b.model) || a.seed - b.seed || b.budget - a.budget || searchOf(a).localeCompare(searchOf(b))
  );
}
