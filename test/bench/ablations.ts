// What each part of the gradual method brings: variants of it (ablation-variants.ts) on every development model and seed, all
// budgets of a variant and seed from one job. Resumable: a variant's budget that is done is not run again.
//   node dist/test/bench/ablations.js --models FOLDER --data FOLDER --results FILE [--variants default,one-step,…]
//     [--seeds 0,1,2,3,4] [--only MODEL,…] [--budgets 0.5,0.4,0.3,0.2] [--samples 2048] [--device cpu|gpu] [--workers N]
//     [--worker HOST:PORT] [--table FILE]
// Several at once, each with its own --only and --results; then their files as one, with nothing run:
//   node dist/test/bench/ablations.js --merge FILE,FILE --results FILE [--table FILE]
// The evaluation data only reports: nothing is chosen by it.
import { parseArgs } from 'node:util';
import { DEFAULT_VARIANT, VARIANTS, variantOf } from './ablation-variants.ts';
import { ABLATIONS_HEADING, type AblationRecord, ablationsTable } from './ablations-table.ts';
import { runStudy } from './run-study.ts';
import { givenRecords, mergedRecords, readRecords, textOfRecords, withSection, writeAside } from './study-file.ts';
import { GRADUAL_STUDY_FLAGS } from './study-flags.ts';
import { studyRecord } from './study-record.ts';

const NAMES = Object.keys(VARIANTS);

const { values: flags } = parseArgs({
  options: {
    ...GRADUAL_STUDY_FLAGS,
    merge: { type: 'string' },
    variants: { type: 'string', default: NAMES.join(',') },
    worker: { type: 'string' },
  },
});
const { models, data, results, workers, device } = flags;
if (!results) throw new Error('ablations: expected --results');
const merged = (flags.merge?.split(',') ?? []).map((file) => givenRecords<AblationRecord>(file));
const records = mergedRecords(await Promise.all([readRecords<AblationRecord>(results), ...merged]), nameOf);
if (flags.merge === undefined) await runAll();
else await writeAside(results, textOfRecords(records, byRun));
const table = ablationsTable(records, NAMES);
if (flags.table) await writeAside(flags.table, await withSection(flags.table, ABLATIONS_HEADING, table));
process.stdout.write(table);

async function runAll(): Promise<void> {
  if (!models || !data) throw new Error('ablations: expected --models and --data, or --merge');
  const samples = Number(flags.samples);
  const variants = flags.variants.split(',');
  const unknown = variants.filter((variant) => !NAMES.includes(variant));
  if (unknown.length > 0)
    throw new Error(`--variants: got ${unknown.join(', ')}, expected some of ${NAMES.join(', ')}`);
  for (const model of flags.only.split(','))
    for (const seed of flags.seeds.split(',').map(Number))
      for (const variant of variants) {
        const task = model.split('-')[1];
        const found = variantOf(variant, { task, data, samples });
        if (found === null) continue;
        const known = records.filter((own) => own.model === model && own.seed === seed && own.variant === variant);
        // Of what the variant meant before.
        for (const own of known.filter((record) => record.flags !== found.flags))
          records.splice(records.indexOf(own), 1);
        const isDone = (budget: number) => known.some((own) => own.budget === budget && own.flags === found.flags);
        const budgets = flags.budgets.split(',').filter((text) => !isDone(Number(text)));
        if (budgets.length === 0) continue;
        const start = performance.now();
        const where = { models, data, workers, device, ...(flags.worker !== undefined && { worker: flags.worker }) };
        const changes = { seed, method: 'gradual' as const, ...found.changes };
        const reports = await runStudy({ ...where, model, samples, budgets: budgets.join(','), changes });
        records.push(...reports.map((report) => ({ variant, flags: found.flags, ...studyRecord(model, report) })));
        await writeAside(results!, textOfRecords(records, byRun));
        const seconds = ((performance.now() - start) / 1000).toFixed(0);
        process.stdout.write(`${model} seed ${seed} ${variant}: ${seconds} s\n`);
      }
}

function nameOf({ model, variant, flags: words, budget, seed }: AblationRecord): string {
  return [model, variant, words, budget, seed].join(', ');
}

function byRun(a: AblationRecord, b: AblationRecord): number {
  return (
    a.model.localeCompare(b.model) ||
    Number(b.variant === DEFAULT_VARIANT) - Number(a.variant === DEFAULT_VARIANT) ||
    a.variant.localeCompare(b.variant) ||
    a.flags.localeCompare(b.flags) ||
    a.seed - b.seed ||
    b.budget - a.budget
  );
}
