// From a campaign's file to its jobs: defaults filled in, names given, what the schema cannot say checked. Pure, and run by
// the client and by the coordinator alike, so that both mean the same jobs.
import { gradualChanges, readGradual } from '../gradual-settings.ts';
import { methodProblems } from '../job/method-problems.ts';
import { multipleProblem } from '../job/neuron-multiple.ts';
import { readBudgets } from '../job/read-budgets.ts';
import { readDrops } from '../job/read-drops.ts';
import { readLatencyBudgets } from '../job/read-latency-budgets.ts';
import { splitProblem } from '../job/split-problem.ts';
import { timingProblems, USUAL_TIMING } from '../job/timing-settings.ts';
import type { JobSettings, LaterSettings } from '../jobs/job-record.ts';
import { type ColumnSettings, DEFAULT_METHOD, type TimingSettings } from '../prune-settings.ts';
import type { CampaignFile, CampaignInput, CampaignSettings } from './campaign-file.ts';
import { type CampaignProblem, wrong } from './campaign-problem.ts';
import { isVolumePath } from './volume-path.ts';

export interface CampaignJob {
  /** Unique in the campaign. */
  readonly name: string;
  readonly priority: number;
  readonly model: CampaignInput;
  readonly data: CampaignInput;
  readonly evaluation: CampaignInput | null;
  readonly settings: JobSettings;
}

const DTYPES = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;
const REQUIRED = ['model', 'data'] as const;
/** Of which a job needs one. */
const BUDGETS = ['budgets', 'latency', 'latency-ms', 'max-drop'] as const;
const INPUTS = ['model', 'data', 'eval'] as const;

/** The jobs of a campaign that the schema has passed, and everything that is wrong with them. */
export function expandCampaign(file: CampaignFile): { jobs: CampaignJob[]; problems: CampaignProblem[] } {
  const problems: CampaignProblem[] = [];
  const names = jobNames(file, problems);
  const jobs: CampaignJob[] = [];
  for (const [position, own] of file.jobs.entries()) {
    const entry = { ...file.defaults, ...own };
    // A mistake of the defaults is told where it stands, once a job that it reaches.
    const place = (key: keyof CampaignSettings) => (key in own ? ['jobs', position, key] : ['defaults', key]);
    const missing: string[] = REQUIRED.filter((key) => entry[key] === undefined);
    if (BUDGETS.every((key) => entry[key] === undefined)) missing.push('budgets');
    for (const key of missing) problems.push(wrong(['jobs', position, key], 'missing, here and in defaults'));
    for (const key of INPUTS) {
      const input = entry[key];
      if (typeof input === 'object' && !isVolumePath(input.path))
        problems.push(wrong([...place(key), 'path'], 'expected parts with / between them, none of them . or ..'));
    }
    const texts = (key: (typeof BUDGETS)[number]) => (entry[key] ?? []).map(String);
    const read = {
      budgets: readBudgets(texts('budgets')),
      latency: readLatencyBudgets('latency', texts('latency')),
      'latency-ms': readLatencyBudgets('latency-ms', texts('latency-ms')),
      'max-drop': readDrops(texts('max-drop')),
    };
    for (const key of BUDGETS)
      for (const { code, text, position: budget } of read[key].problems)
        problems.push({
          ...wrong([...place(key), budget], text),
          code: code === 'usage' ? 'campaign_format' : code,
        });
    const budgets = BUDGETS.flatMap((key) => read[key].budgets);
    if (entry.metric !== undefined && entry.eval === undefined && entry['max-drop'] === undefined)
      problems.push(wrong(place('metric'), `got ${entry.metric} without eval, expected samples to measure it on`));
    const timing = timingOf(entry);
    for (const { name, text } of timingProblems(timing)) problems.push(wrong(place(name), text));
    const search = entry.uniform ? 'uniform' : (entry.search ?? 'paper');
    const neuronMultiple = entry['neuron-multiple'] ?? 1;
    if (entry.uniform && entry.search === 'knapsack')
      problems.push(wrong(place('uniform'), 'got true with search knapsack, expected one of the two'));
    const gradual = readGradual((flag) => entry[flag]);
    const given = { damping: entry.damping ?? null, fisherGroup: entry['fisher-group'] ?? null, gradual };
    for (const { name, text } of methodProblems(entry.method ?? DEFAULT_METHOD, given))
      problems.push(wrong(place(name), text));
    const multiple = multipleProblem({ search, neuronMultiple, budgets });
    if (multiple !== null) problems.push(wrong(place('neuron-multiple'), multiple));
    const split = splitProblem({ search, budgets, fastest: entry.fastest ?? false, gradual });
    if (split !== null) problems.push(wrong(place('split'), split));
    if (entry['max-drop'] !== undefined && entry.labels === 'model')
      problems.push(wrong(place('max-drop'), 'got labels of the model, expected those of the data to judge a loss by'));
    if (entry['max-drop-confidence'] !== undefined && entry['max-drop'] === undefined)
      problems.push(wrong(place('max-drop-confidence'), 'got no max-drop, expected one that it decides about'));
    if (entry.fastest && entry['max-drop'] === undefined)
      problems.push(wrong(place('fastest'), 'got true without max-drop, expected what the fastest model may lose'));
    if (missing.length > 0) continue;
    jobs.push({
      name: names[position],
      priority: entry.priority ?? 0,
      model: entry.model!,
      data: entry.data!,
      evaluation: entry.eval ?? null,
      settings: { ...settingsOf(entry, budgets), ...gradualChanges(gradual), timing, search, neuronMultiple },
    });
  }
  return { jobs, problems: distinct(problems) };
}

function timingOf(entry: CampaignSettings): TimingSettings {
  const list = (value: number | readonly number[] | undefined) => (typeof value === 'number' ? [value] : value);
  return {
    runtime: entry.runtime ?? USUAL_TIMING.runtime,
    batchSizes: list(entry['batch-size']) ?? USUAL_TIMING.batchSizes,
    lengths: list(entry.length) ?? USUAL_TIMING.lengths,
    threads: entry.threads ?? USUAL_TIMING.threads,
  };
}

function settingsOf(entry: CampaignSettings, budgets: JobSettings['budgets']): Omit<JobSettings, LaterSettings> {
  return {
    columns: columnsOf(entry),
    budgets,
    ...(entry['max-drop-confidence'] !== undefined && { maxDropConfidence: entry['max-drop-confidence'] }),
    ...(entry.fastest && { fastest: true }),
    seed: entry.seed ?? 0,
    samples: entry.samples ?? 2048,
    replacement: entry.replacement ?? false,
    fisherGroup: entry['fisher-group'] ?? null,
    labels: entry.labels ?? 'data',
    method: entry.method ?? DEFAULT_METHOD,
    damping: entry.damping ?? 'ridge',
    macsLength: entry['macs-length'] ?? null,
    maxLength: entry['max-length'] ?? null,
    stride: entry.stride ?? 128,
    metric: entry.metric ?? null,
    dtype: entry.dtype === undefined ? null : DTYPES[entry.dtype],
    ...(entry.onnx !== undefined && { onnx: DTYPES[entry.onnx] }),
  };
}

function columnsOf(entry: CampaignSettings): ColumnSettings {
  const columns = {
    text: entry['text-column'],
    textPair: entry['text-pair-column'],
    label: entry['label-column'],
    question: entry['question-column'],
    context: entry['context-column'],
    answers: entry['answers-column'],
  };
  return Object.fromEntries(Object.entries(columns).filter(([, column]) => column !== undefined));
}

/** Names as given, else made from the model's folder with the first number that is free. */
function jobNames(file: CampaignFile, problems: CampaignProblem[]): string[] {
  const taken = new Map<string, number>();
  for (const [position, { name }] of file.jobs.entries()) {
    if (name === undefined) continue;
    const earlier = taken.get(name);
    if (earlier === undefined) taken.set(name, position);
    else problems.push(wrong(['jobs', position, 'name'], `got "${name}", which jobs[${earlier}] has too`));
  }
  const counts = new Map<string, number>();
  return file.jobs.map((own, position) => {
    if (own.name !== undefined) return own.name;
    const base = folderName(own.model ?? file.defaults?.model ?? '');
    let count = counts.get(base) ?? 1;
    let name = base;
    for (; taken.has(name); name = `${base}-${count}`) count += 1;
    counts.set(base, count);
    taken.set(name, position);
    return name;
  });
}

function folderName(model: CampaignInput): string {
  const parts = (typeof model === 'string' ? model : model.path).split('/').filter((part) => /[^.]/.test(part));
  const plain = (parts.at(-1) ?? '').replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return plain.slice(0, 90) || 'job';
}

function distinct(problems: readonly CampaignProblem[]): CampaignProblem[] {
  return [...new Map(problems.map((problem) => [JSON.stringify(problem), problem])).values()];
}
