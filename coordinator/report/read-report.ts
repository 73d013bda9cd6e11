// Reads report.json files back. They may come from another version, another machine or another person: what pages and cards
// take for granted is checked once, here.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Ajv, type ErrorObject } from 'ajv';
import { EspalierError } from '../../shared/errors.ts';
import type { PruneReport } from '../prune-report.ts';
import { METHODS } from '../prune-settings.ts';
import { type ReportedBudget, type ReportedJob, reportedJob } from './reported-job.ts';

export const REPORT_FILE = 'report.json';

const text = { type: 'string' };
const number = { type: 'number' };
const amount = { type: 'number', minimum: 0 };
const positive = { type: 'number', exclusiveMinimum: 0 };
const score = { type: ['number', 'null'] };
const amounts = { type: 'array', minItems: 1, maxItems: 4096, items: amount };
/** @param required all of them, but for those whose schema is in `optional`. */
const object = (required: object, optional: object = {}) => ({
  ...{ type: 'object', required: Object.keys(required) },
  properties: { ...required, ...optional },
});
const data = object({ digest: text, rows: amount, truncated: amount }, { name: text });
const timing = object({ median: positive, p10: amount, p90: amount });
const count = { type: 'integer', minimum: 1 };
const drop = object(
  { macs: amount, score: number, drop: number, bound: number, within: { type: 'boolean' } },
  { time: amount },
);
const maxDrop = object({
  ...{ allowed: amount, metric: text, decidedBy: { enum: ['estimate', 'bound'] }, confidence: score },
  ...{ boundConfidence: amount, resamples: amount, heldOut: object({ examples: amount, samples: amount }) },
  ...{ dense: number, candidates: { type: 'array', items: drop }, written: drop },
});
const latencyRound = object({
  ...{ share: amount, predicted: amount, denseSeconds: positive, seconds: positive, byGoal: positive },
});
const tableSeconds = object({
  ...{ attention: { ...amounts, minItems: 2 }, rest: amount },
  ffn: { type: 'array', minItems: 2, maxItems: 4096, items: object({ neurons: amount, seconds: amount }) },
});
const latencyBudget = object({
  ...{ kind: { enum: ['latency', 'latency-ms'] }, value: positive, runtime: text, batchSize: count, tokens: count },
  ...{ tolerance: positive, machine: text, share: amount, predictedShare: amount },
  table: object(
    { source: { enum: ['given', 'cached', 'measured'] }, runtime: text, device: text, threads: count },
    { seconds: tableSeconds },
  ),
  rounds: { type: 'array', items: latencyRound },
  ...{ measuredByGoal: score, met: { type: ['boolean', 'null'] } },
});
const refit = object(
  {
    ...{ layer: amount, subLayer: { enum: ['attention', 'ffn'] }, kept: amount, rung: text },
    ...{ heldOutBefore: score, heldOutAfter: score, tried: { type: 'array' } },
  },
  { part: { enum: ['input', 'query', 'key_value'] } },
);
const split = object({ heads: amount, divergence: amount });
const step = object(
  {
    ...{ share: positive, macs: amount, heads: amounts, neurons: amounts, divergence: score },
    seconds: object({ gradients: amount, search: amount, refit: amount, divergence: amount }, { rearrange: amount }),
    refits: { type: 'array', items: refit },
  },
  { splits: { type: 'array', items: split } },
);
const pair = object({ dense: positive, pruned: amount });

const SCHEMA = object(
  {
    ...{ espalier: text, schema: { const: 2 }, model: object({ name: text, digest: text, type: text }), data },
    evaluation: { anyOf: [data, { type: 'null' }] },
    ...{ seed: amount, samples: amount, replacement: { type: 'boolean' }, fisherGroup: amount, labels: text },
    ...{ method: { enum: METHODS }, damping: text, budget: amount, task: text },
    metric: { type: ['string', 'null'] },
    quality: object({ dense: score, search: score, rearrange: score, tune: score }, { gradual: score }),
    ...{ macs: pair, macsLength: amount, parameters: pair, bytes: pair, heads: amounts, neurons: amounts },
    tuning: {
      type: 'array',
      items: object({
        ...{ layer: amount, subLayer: { enum: ['attention', 'ffn'] }, kept: amount, rung: text },
        ...{ heldOutBefore: score, heldOutAfter: score, largestScale: number, tried: { type: 'array' } },
      }),
    },
    latency: {
      anyOf: [
        { type: 'null' },
        object({ batchSize: amount, tokens: amount, repeats: amount, denseSeconds: positive, prunedSeconds: positive }),
      ],
    },
    seconds: object(
      {
        ...{ load: amount, fisher: amount, search: amount, rearrange: amount, tune: amount, evaluate: amount },
        total: amount,
      },
      { gradual: amount },
    ),
    ...{ workers: amount, deviceClass: { type: 'object' }, plan: text, dtype: text, digest: text },
  },
  {
    ...{ command: { type: 'array', items: text }, importance: object({ heads: amounts, neurons: amounts }) },
    tokensPerBatch: amount,
    gradual: { type: 'object', additionalProperties: text },
    denseLayer: object({ heads: amount, neurons: amount }),
    workerTimes: {
      type: 'array',
      items: object(
        { worker: amount, tasks: amount, seconds: { type: 'object', additionalProperties: amount } },
        { peakMemoryBytes: amount },
      ),
    },
    ...{ maxDrop, latencyBudget, steps: { type: 'array', maxItems: 4096, items: step } },
    speed: {
      type: 'array',
      items: object({
        ...{ runtime: text, batchSize: amount, tokens: amount, threads: amount, repeats: amount },
        ...{ dense: timing, pruned: timing, machine: text },
      }),
    },
    onnx: {
      anyOf: [
        { type: 'null' },
        object({
          dtype: text,
          files: { type: 'array', items: object({ name: text, bytes: amount, sha256: text }) },
          scores: { type: ['object', 'null'], additionalProperties: number },
        }),
      ],
    },
  },
);

const isReport = new Ajv({ allowUnionTypes: true }).compile<PruneReport>(SCHEMA);

/** A report out of its text. @param source for messages. @throws EspalierError "data_format". */
export function parseReport(json: string, source: string): PruneReport {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw unreadable(source, 'got no JSON, expected a report', cause);
  }
  const current = fromSchema1(value);
  if (isReport(current)) return current;
  throw unreadable(source, wrong(isReport.errors?.[0]));
}

/** In schema 1 the method "paper" was called by its last stage, "tune". */
function fromSchema1(value: unknown): unknown {
  const { schema, method } = (value ?? {}) as { readonly schema?: unknown; readonly method?: unknown };
  return schema === 1 ? { ...(value as object), schema: 2, method: method === 'tune' ? 'paper' : method } : value;
}

/** The job whose output folder this is; null: no folder in it, nor itself, holds a report.
 * @throws EspalierError "data_format", "data_not_found" when there is no such folder. */
export async function readJob(folder: string): Promise<ReportedJob | null> {
  const own = await readBudget(folder, path.basename(path.resolve(folder)));
  if (own !== null) return reportedJob(own.report.model.name, [own]);
  const budgets: ReportedBudget[] = [];
  for (const name of await folderNames(folder)) {
    const found = await readBudget(path.join(folder, name), name);
    if (found !== null) budgets.push(found);
  }
  return budgets.length === 0 ? null : reportedJob(budgets[0].report.model.name, budgets);
}

/** Names of the folders in a folder, sorted; hidden ones are nobody's. @throws EspalierError "data_not_found". */
export async function folderNames(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    const action = 'give a folder that `espalier prune` or `espalier fetch` wrote';
    throw new EspalierError('data_not_found', `${folder}: ${cause.code ?? cause.message}`, { action, cause });
  });
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .sort();
}

async function readBudget(folder: string, name: string): Promise<ReportedBudget | null> {
  const file = path.join(folder, REPORT_FILE);
  const json = await readFile(file, 'utf8').catch((caught: NodeJS.ErrnoException) => {
    if (caught.code === 'ENOENT' || caught.code === 'ENOTDIR') return null;
    throw caught;
  });
  return json === null ? null : { name, report: parseReport(json, file) };
}

function wrong(error: ErrorObject | null | undefined): string {
  return `got ${error?.instancePath || 'an object'} that ${error?.message ?? 'is wrong'}, expected a report of schema 1 or 2`;
}

function unreadable(source: string, what: string, cause?: unknown): EspalierError {
  const action = 'fetch it again, or use the version of Espalier that wrote it';
  return new EspalierError('data_format', `${source}: ${what}`, { action, ...(cause instanceof Error && { cause }) });
}
