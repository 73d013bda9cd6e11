// A latency table: how long one layer's sub-layers take by what they keep, measured once for a runtime, a machine, an
// input shape and a model's sizes. What it says holds for nothing else, so it says what it was measured for. The measuring
// is elsewhere; here is its form, its checks and the costs that a search reads from it.
import { EspalierError } from '../shared/errors.ts';
import { isJsonObject } from '../shared/json-object.ts';
import type { SubLayerCosts } from './sub-layer-costs.ts';

/** Sizes of the dense model that times depend on; vocabulary and task are in `restSeconds`. */
export interface LatencyModel {
  readonly type: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly heads: number;
  readonly headSize: number;
  readonly intermediateSize: number;
  readonly activation: string;
}

/** All that a table's numbers hold for. */
export interface LatencySetup {
  /** What ran the model, with its version, such as "onnxruntime 1.30.0". */
  readonly runtime: string;
  /** The machine's CPU or GPU. */
  readonly device: string;
  readonly threads: number;
  readonly batchSize: number;
  /** Tokens a sample, padding included. */
  readonly tokens: number;
  readonly model: LatencyModel;
}

export interface LatencyTable extends LatencySetup {
  readonly schema: 1;
  /** [heads + 1]: seconds of one layer's attention sub-layer with 0, 1, … H heads; with bias, residual and LayerNorm. */
  readonly attentionSeconds: readonly number[];
  /** Seconds of one layer's FFN sub-layer at the counts that were measured: ascending, 0 and all neurons among them.
   * Between them time is taken to be linear. */
  readonly ffnSeconds: readonly { readonly neurons: number; readonly seconds: number }[];
  /** Seconds of everything that pruning leaves as it is: embeddings and head. */
  readonly restSeconds: number;
}

const MOST_SIZE = 2 ** 20;
const MOST_TEXT = 200;
const SETUP_TEXTS = ['runtime', 'device'] as const;
const SETUP_COUNTS = ['threads', 'batchSize', 'tokens'] as const;
const MODEL_TEXTS = ['type', 'activation'] as const;
const MODEL_COUNTS = ['layers', 'hiddenSize', 'heads', 'headSize', 'intermediateSize'] as const;

/** A table from its JSON. @param source what messages call it.
 * @throws EspalierError "latency_table" that names every field that is wrong. */
export function readLatencyTable(value: unknown, source: string): LatencyTable {
  if (!isJsonObject(value)) throw new EspalierError('latency_table', `${source}: got no object, expected one`);
  const problems: string[] = [];
  const problem = (field: string, got: unknown, expected: string) =>
    problems.push(`${field}: got ${shown(got)}, expected ${expected}`);
  const texts = (at: string, fields: readonly string[], from: Readonly<Record<string, unknown>>) => {
    for (const field of fields)
      if (!isText(from[field])) problem(at + field, from[field], `a text of 1 to ${MOST_TEXT} characters`);
  };
  const counts = (at: string, fields: readonly string[], from: Readonly<Record<string, unknown>>) => {
    for (const field of fields)
      if (!isCount(from[field], 1)) problem(at + field, from[field], `a whole number from 1 to ${MOST_SIZE}`);
  };
  if (value.schema !== 1) problem('schema', value.schema, '1');
  texts('', SETUP_TEXTS, value);
  counts('', SETUP_COUNTS, value);
  const { model, attentionSeconds, ffnSeconds, restSeconds } = value;
  const sizes = isJsonObject(model) ? model : {};
  texts('model.', MODEL_TEXTS, sizes);
  counts('model.', MODEL_COUNTS, sizes);
  if (!isSeconds(restSeconds)) problem('restSeconds', restSeconds, 'a number >= 0');
  const { heads, intermediateSize } = sizes;
  if (isCount(heads, 1) && !(isList(attentionSeconds, isSeconds) && attentionSeconds.length === heads + 1))
    problem('attentionSeconds', attentionSeconds, `${heads + 1} numbers >= 0, of 0 to ${heads} heads`);
  if (isCount(intermediateSize, 1) && !(isList(ffnSeconds, isFfnEntry) && spans(ffnSeconds, intermediateSize)))
    problem('ffnSeconds', ffnSeconds, `{neurons, seconds} with rising neurons from 0 to ${intermediateSize}`);
  if (problems.length > 0) throw new EspalierError('latency_table', `${source}: ${problems.join('; ')}`);
  return value as unknown as LatencyTable;
}

/** Refuses a table that was measured for something else.
 * @throws EspalierError "latency_table" that names each difference, what was got and what was expected. */
export function requireTableFor(table: LatencySetup, setup: LatencySetup, source: string): void {
  const fields: [name: string, got: string | number, expected: string | number][] = [
    ...[...SETUP_TEXTS, ...SETUP_COUNTS].map((name): [string, string | number, string | number] => [
      name,
      table[name],
      setup[name],
    ]),
    ...[...MODEL_TEXTS, ...MODEL_COUNTS].map((name): [string, string | number, string | number] => [
      `model.${name}`,
      table.model[name],
      setup.model[name],
    ]),
  ];
  const problems = fields
    .filter(([, got, expected]) => got !== expected)
    .map(([name, got, expected]) => `${name}: got ${got}, expected ${expected}`);
  if (problems.length > 0) throw new EspalierError('latency_table', `${source}: ${problems.join('; ')}`);
}

/** Seconds as the costs of a search. Their total leaves out `restSeconds`, which no pruning changes. */
export function latencyCosts({ attentionSeconds, ffnSeconds }: LatencyTable): SubLayerCosts {
  const ffn = new Float64Array(ffnSeconds[ffnSeconds.length - 1].neurons + 1);
  for (const [at, to] of ffnSeconds.entries()) {
    const from = ffnSeconds[Math.max(at - 1, 0)];
    for (let neurons = from.neurons; neurons < to.neurons; neurons++)
      ffn[neurons] =
        from.seconds + ((neurons - from.neurons) / (to.neurons - from.neurons)) * (to.seconds - from.seconds);
    ffn[to.neurons] = to.seconds;
  }
  return { attention: Float64Array.from(attentionSeconds), ffn };
}

/** Seconds of the dense model as the table adds them up: all layers, and the rest. */
export function denseSeconds({ model, attentionSeconds, ffnSeconds, restSeconds }: LatencyTable): number {
  return model.layers * (attentionSeconds[model.heads] + ffnSeconds[ffnSeconds.length - 1].seconds) + restSeconds;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= MOST_TEXT;
}

function isCount(value: unknown, least: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= MOST_SIZE;
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isFfnEntry(value: unknown): value is LatencyTable['ffnSeconds'][number] {
  return isJsonObject(value) && isCount(value.neurons, 0) && isSeconds(value.seconds);
}

function isList<Item>(value: unknown, isItem: (item: unknown) => item is Item): value is Item[] {
  return Array.isArray(value) && value.every(isItem);
}

function spans(entries: LatencyTable['ffnSeconds'], most: number): boolean {
  const rises = entries.every(({ neurons }, at) => at === 0 || neurons > entries[at - 1].neurons);
  return entries.length > 1 && entries[0].neurons === 0 && entries[entries.length - 1].neurons === most && rises;
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
