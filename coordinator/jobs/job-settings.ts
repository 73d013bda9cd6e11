// From a job's spec to what the stages are asked to do. A spec comes out of the store: it may have been written by another
// version, so what the stages take for granted is checked once more here.
import { EspalierError } from '../../shared/errors.ts';
import { gradualProblems } from '../gradual-settings.ts';
import type { GatheredInputs } from '../job/cluster-inputs.ts';
import { requireHeldOut } from '../job/held-out.ts';
import { methodProblems } from '../job/method-problems.ts';
import { multipleProblem } from '../job/neuron-multiple.ts';
import { CONFIDENCE } from '../job/read-drops.ts';
import { isLatencyBudget, latencyBudgetProblem } from '../job/read-latency-budgets.ts';
import { splitProblem } from '../job/split-problem.ts';
import { timingProblems, USUAL_TIMING } from '../job/timing-settings.ts';
import { type ColumnSettings, METHODS, type PruneRequest, RUNTIMES } from '../prune-settings.ts';
import type { JobSpec } from './job-record.ts';

const COLUMNS: readonly (keyof ColumnSettings)[] = ['text', 'textPair', 'label', 'question', 'context', 'answers'];
/** A worker times at most 64 models in one task, the dense one among them. */
const MOST_BUDGETS = 63;
const MOST = 2 ** 31 - 1;

/** What the stages of a job are asked, on inputs that lie on this machine.
 * @throws EspalierError "campaign_format" that tells of every problem at once. */
export function pruneRequest(spec: JobSpec, inputs: GatheredInputs): PruneRequest {
  const problems = [...budgetProblems(spec), ...dropProblems(spec), ...numberProblems(spec), ...choiceProblems(spec)];
  problems.push(...gradualProblems(spec.gradual ?? {}));
  if (spec.metric !== null && spec.evaluation === null && !requireHeldOut(spec))
    problems.push(`metric: got ${spec.metric} without evaluation data, expected samples to measure it on`);
  const timing = spec.timing ?? USUAL_TIMING;
  // Without a batch no speed is measured, which only a budget of time could not do without.
  const isTimed = timing.batchSizes.length > 0 || spec.fastest === true || spec.budgets.some(isLatencyBudget);
  if (isTimed) problems.push(...timingProblems(timing).map(({ name, text }) => `${name}: ${text}`));
  // A spec has a damping also where none was asked for.
  const damped = spec.damping === 'ridge' ? null : spec.damping;
  const given = { damping: damped, fisherGroup: spec.fisherGroup, gradual: spec.gradual ?? {} };
  for (const { name, text } of methodProblems(spec.method, given)) problems.push(`${name}: ${text}`);
  const multiple = multipleProblem({ search: 'paper', neuronMultiple: 1, ...spec });
  if (multiple !== null) problems.push(`neuronMultiple: ${multiple}`);
  const split = splitProblem({ search: 'paper', ...spec });
  if (split !== null) problems.push(`split: ${split}`);
  if (problems.length > 0) throw new EspalierError('campaign_format', problems.join('; '));
  const { budgets, seed, samples, replacement, fisherGroup, labels, method, damping } = spec;
  const { macsLength, maxLength, stride, metric, dtype, onnx, search = 'paper', neuronMultiple = 1 } = spec;
  const { maxDropConfidence, fastest, gradual } = spec;
  return {
    model: inputs.model.path,
    data: inputs.data.path,
    evaluation: inputs.evaluation?.path ?? null,
    columns: Object.fromEntries(COLUMNS.flatMap((name) => (spec.columns[name] ? [[name, spec.columns[name]]] : []))),
    ...{ budgets, seed, samples, replacement, fisherGroup, labels, method, damping },
    ...{ macsLength, maxLength, stride, metric, dtype, timing, search, neuronMultiple },
    ...(gradual && { gradual }),
    ...(onnx && { onnx }),
    ...(maxDropConfidence !== undefined && { maxDropConfidence }),
    ...(fastest === true && { fastest }),
  };
}

/** What the text of a budget is before its number, by kind; "": a share of MACs. */
const PREFIXES = { '': '', 'max-drop': 'max-drop-' } as const;

function budgetProblems({ budgets }: JobSpec): string[] {
  const problems = budgets.flatMap((budget) => {
    const { kind = '', text, value } = budget;
    if (isLatencyBudget(budget)) {
      const problem = latencyBudgetProblem(budget);
      return problem === null ? [] : [`budgets: ${problem}`];
    }
    if (!Object.hasOwn(PREFIXES, kind))
      return [`budgets: got ${text} of kind ${kind}, which this version does not know`];
    const prefix = PREFIXES[kind as keyof typeof PREFIXES];
    const number = text.slice(prefix.length);
    const isRight = text.startsWith(prefix) && /^\d+(\.\d*)?$/.test(number) && Number(number) === value;
    return isRight && value > 0 && value < 1
      ? []
      : [`budgets: got ${text}, expected ${prefix}a decimal fraction more than 0 and less than 1`];
  });
  if (budgets.length < 1 || budgets.length > MOST_BUDGETS)
    problems.push(`budgets: got ${budgets.length}, expected 1 to ${MOST_BUDGETS}`);
  if (new Set(budgets.map(({ kind, value }) => `${kind} ${value}`)).size < budgets.length)
    problems.push(`budgets: got ${budgets.map(({ text }) => text).join(', ')}, expected distinct ones`);
  return problems;
}

function dropProblems({ budgets, labels, maxDropConfidence: level = CONFIDENCE.max }: JobSpec): string[] {
  if (!budgets.some(({ kind }) => kind === 'max-drop')) return [];
  const problems = labels === 'model' ? ['max-drop: got labels of the model, expected those of the data'] : [];
  if (!(level >= CONFIDENCE.min && level <= CONFIDENCE.max))
    problems.push(`maxDropConfidence: got ${level}, expected ${CONFIDENCE.min} to ${CONFIDENCE.max}`);
  return problems;
}

function numberProblems(spec: JobSpec): string[] {
  const rules: [name: string, value: number | null, least: number, most: number][] = [
    ['seed', spec.seed, 0, 2 ** 32 - 1],
    ['samples', spec.samples, 1, MOST],
    ['fisherGroup', spec.fisherGroup, 1, MOST],
    ['macsLength', spec.macsLength, 1, MOST],
    ['maxLength', spec.maxLength, 2, 1_000_000],
    ['stride', spec.stride, 0, 1_000_000],
  ];
  return rules
    .filter(([, value, least, most]) => value !== null && !(Number.isInteger(value) && value >= least && value <= most))
    .map(([name, value, least, most]) => `${name}: got ${value}, expected a whole number from ${least} to ${most}`);
}

function choiceProblems(spec: JobSpec): string[] {
  const rules: [name: string, value: string | null, choices: readonly (string | null)[]][] = [
    ['labels', spec.labels, ['data', 'model']],
    ['method', spec.method, METHODS],
    ['runtime', spec.timing?.runtime ?? USUAL_TIMING.runtime, RUNTIMES],
    ['damping', spec.damping, ['ridge', 'reference']],
    ['search', spec.search ?? 'paper', ['paper', 'knapsack', 'uniform']],
    ['dtype', spec.dtype, [null, 'F32', 'F16', 'BF16']],
    ['onnx', spec.onnx ?? null, [null, 'F32', 'F16']],
  ];
  const unknown = Object.keys(spec.columns).filter((name) => !COLUMNS.some((known) => known === name));
  return [
    ...rules
      .filter(([, value, choices]) => !choices.includes(value))
      .map(([name, value, choices]) => `${name}: got ${value}, expected one of ${choices.join(', ')}`),
    ...unknown.map((name) => `columns: got ${name}, expected one of ${COLUMNS.join(', ')}`),
  ];
}
