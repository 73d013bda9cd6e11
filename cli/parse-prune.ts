// From the words of `espalier prune` to the settings of a job. Pure: looks at no file.
import { gradualChanges, readGradual } from '../coordinator/gradual-settings.ts';
import { methodProblems } from '../coordinator/job/method-problems.ts';
import { multipleProblem } from '../coordinator/job/neuron-multiple.ts';
import { readBudgets } from '../coordinator/job/read-budgets.ts';
import { CONFIDENCE, readDrops } from '../coordinator/job/read-drops.ts';
import { isLatencyBudget, readLatencyBudgets } from '../coordinator/job/read-latency-budgets.ts';
import { splitProblem } from '../coordinator/job/split-problem.ts';
import { DEFAULT_METHOD, METHODS, type PruneSettings } from '../coordinator/prune-settings.ts';
import { FlagReader, type RawFlags } from './flag-reader.ts';
import { outputProblem } from './output-inputs.ts';
import {
  type OutputSettings,
  readColumns,
  readFolder,
  readLengths,
  readOutput,
  readTiming,
  readWorkers,
} from './parse-common.ts';

const DTYPES = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;
const COUNT = { min: 1, max: 2 ** 31 - 1 };

/** @param model the folder operand.
 * @param cwd folder that relative paths start at.
 * @param env variables that stand in for flags.
 * @throws EspalierError "usage" or "budget_out_of_range" that tells of every problem at once. */
export function parsePrune(
  model: string | undefined,
  rawFlags: RawFlags,
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): { readonly settings: PruneSettings; readonly output: OutputSettings } {
  const flags = new FlagReader(rawFlags, env);
  const dtype = flags.choice('dtype', Object.keys(DTYPES) as (keyof typeof DTYPES)[], null);
  const onnx = flags.choice('onnx', ['float32', 'float16'], flags.switched('onnx') ? 'float32' : null);
  const confidence = flags.fraction('max-drop-confidence', CONFIDENCE, null);
  const latencyTable = flags.text('latency-table');
  const gradual = readGradual((flag, values) => flags.choice(flag, values, null));
  const settings: PruneSettings = {
    model: readFolder(flags, model, 'MODEL'),
    data: flags.required('data', 'FILE'),
    evaluation: flags.text('eval'),
    columns: readColumns(flags),
    budgets: budgetsOf(flags),
    out: flags.required('out', 'DIR'),
    force: flags.switched('force'),
    resume: flags.switched('resume'),
    ...(confidence !== null && { maxDropConfidence: confidence }),
    ...(flags.switched('fastest') && { fastest: true }),
    seed: flags.integer('seed', { min: 0, max: 2 ** 32 - 1 }, 0),
    samples: flags.integer('samples', COUNT, 2048),
    replacement: flags.switched('replacement'),
    fisherGroup: flags.integer('fisher-group', COUNT, null),
    labels: flags.choice('labels', ['data', 'model'], 'data'),
    method: flags.choice('method', METHODS, DEFAULT_METHOD),
    damping: flags.choice('damping', ['ridge', 'reference'], 'ridge'),
    ...gradualChanges(gradual),
    search: searchOf(flags),
    neuronMultiple: flags.integer('neuron-multiple', COUNT, 1),
    macsLength: flags.integer('macs-length', COUNT, null),
    ...readLengths(flags),
    metric: flags.text('metric'),
    timing: readTiming(flags),
    dtype: dtype === null ? null : DTYPES[dtype],
    ...(onnx !== null && { onnx: DTYPES[onnx] }),
    ...(latencyTable !== null && { latencyTable }),
    ...(flags.switched('other-machine') && { otherMachine: true }),
    workers: readWorkers(flags),
  };
  const problem = outputProblem(settings, cwd);
  if (problem !== null) flags.problem(problem);
  const hasDrops = flags.all('max-drop').length > 0;
  if (settings.metric && settings.evaluation === null && !hasDrops)
    flags.problem(`--metric: got ${settings.metric} without --eval, expected samples to measure it on`);
  const damping = flags.all('damping').includes(settings.damping) ? settings.damping : null;
  const given = { damping, fisherGroup: settings.fisherGroup, gradual };
  for (const { name, text } of methodProblems(settings.method, given)) flags.problem(`--${name}: ${text}`);
  const multiple = multipleProblem(settings);
  if (multiple !== null) flags.problem(`--neuron-multiple: ${multiple}`);
  const split = splitProblem(settings);
  if (split !== null) flags.problem(`--split: ${split}`);
  if (hasDrops && settings.labels === 'model')
    flags.problem('--max-drop: got --labels model, expected labels of the data, which a loss is measured by');
  if (!hasDrops && flags.all('max-drop-confidence').length > 0)
    flags.problem('--max-drop-confidence: got no --max-drop, expected one that it decides about');
  if (!hasDrops && settings.fastest)
    flags.problem('--fastest: got no --max-drop, expected what the fastest model may lose');
  if (settings.latencyTable && !settings.fastest && !settings.budgets.some(isLatencyBudget))
    flags.problem('--latency-table: got no --latency or --latency-ms, expected a budget that is searched by it');
  if (settings.otherMachine && latencyTable === null)
    flags.problem('--other-machine: got no --latency-table, expected the table of that machine');
  const output = readOutput(flags);
  flags.throwProblems('prune');
  return { settings, output };
}

function searchOf(flags: FlagReader): PruneSettings['search'] {
  const search = flags.choice('search', ['paper', 'knapsack'], 'paper');
  if (!flags.switched('uniform')) return search;
  if (search === 'knapsack') flags.problem('--uniform: got --search knapsack too, expected one of the two');
  return 'uniform';
}

function budgetsOf(flags: FlagReader): PruneSettings['budgets'] {
  const texts = (name: string) => flags.all(name).flatMap((list) => list.split(','));
  const read = {
    budget: readBudgets(texts('budget')),
    latency: readLatencyBudgets('latency', texts('latency')),
    'latency-ms': readLatencyBudgets('latency-ms', texts('latency-ms')),
    'max-drop': readDrops(texts('max-drop')),
  };
  if (Object.keys(read).every((name) => flags.all(name).length === 0)) flags.problem('--budget FRACTION: missing');
  for (const [name, { problems }] of Object.entries(read))
    for (const { text, code } of problems) flags.problem(`--${name}: ${text}`, code);
  return Object.values(read).flatMap(({ budgets }) => budgets);
}
