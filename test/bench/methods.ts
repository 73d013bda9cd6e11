// Methods beside each other: every development model, seed and budget, each method's budgets of a seed from one job.
// Resumable: a model, seed and method that is done is not run again.
//   node dist/test/bench/methods.js --models FOLDER --data FOLDER --results FILE [--methods paper,gradual]
//     [--seeds 0,1,2,3,4] [--only MODEL,…] [--budgets 0.5,0.4,0.3,0.2] [--samples 2048] [--device cpu|gpu] [--workers N]
//     [--table FILE]
// The evaluation data only reports: nothing is chosen by it.
import { parseArgs } from 'node:util';
import { METHODS_HEADING, type MethodRecord, methodsTable } from './methods-table.ts';
import { runStudy } from './run-study.ts';
import { readRecords, textOfRecords, withSection, writeAside } from './study-file.ts';
import { GRADUAL_STUDY_FLAGS } from './study-flags.ts';
import { studyRecord } from './study-record.ts';

const { values: flags } = parseArgs({
  options: {
    ...GRADUAL_STUDY_FLAGS,
    methods: { type: 'string', default: 'paper,gradual' },
  },
});
if (!flags.models || !flags.data || !flags.results) throw new Error('methods: expected --models, --data and --results');

const { models, data, budgets, workers, device } = flags;
const where = { models, data, budgets, workers, device };
const samples = Number(flags.samples);
const methods = flags.methods.split(',').map((method) => {
  if (method !== 'paper' && method !== 'gradual') throw new Error(`--methods: got ${method}, expected paper, gradual`);
  return method;
});
const records = await readRecords<MethodRecord>(flags.results);
for (const model of flags.only.split(',')) {
  for (const seed of flags.seeds.split(',').map(Number)) {
    for (const method of methods) {
      const isDone = (record: MethodRecord) =>
        record.model === model && record.seed === seed && record.method === method && record.samples === samples;
      if (records.some(isDone)) continue;
      const start = performance.now();
      const reports = await runStudy({ ...where, model, samples, changes: { seed, method } });
      records.push(...reports.map((report) => ({ method, ...studyRecord(model, report) })));
      await writeAside(flags.results, textOfRecords(records, byRun));
      const seconds = ((performance.now() - start) / 1000).toFixed(0);
      process.stdout.write(`${model} seed ${seed} ${method}: ${seconds} s\n`);
    }
  }
}
const table = methodsTable(records, methods);
if (flags.table) await writeAside(flags.table, await withSection(flags.table, METHODS_HEADING, table));
process.stdout.write(table);

function byRun(a: MethodRecord, b: MethodRecord): number {
  return (
    a.model.localeCompare(b.model) ||
    a.method.localeCompare(b.method) ||
    a.samples - b.samples ||
    a.seed - b.seed ||
    b.budget - a.budget
  );
}
