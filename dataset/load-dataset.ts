// A data file as samples for a model: read and checked whole, tokenised only where asked for.
import { createHash } from 'node:crypto';
import type { ModelConfig, TaskKind } from '../checkpoint/model-config.ts';
import { EspalierError } from '../shared/errors.ts';
import { type ColumnSettings, questionColumns, textColumns, wordColumns } from './columns.ts';
import { createQuestionEncoder } from './encode-questions.ts';
import { createTextEncoder } from './encode-texts.ts';
import { createWordEncoder } from './encode-words.ts';
import type { EncodedSample } from './encoded-sample.ts';
import { checkMetric, checkOutputs, type Scores, scoreSamples } from './metrics.ts';
import { parseRows, type Row, readDataFile } from './read-rows.ts';
import type { DrawnSample, RowEncoder, Scoring } from './row-encoder.ts';
import type { TextTokenizer } from './text-tokenizer.ts';

export interface DatasetOptions {
  /** .jsonl, .csv or .tsv file. */
  readonly path: string;
  readonly columns: ColumnSettings;
  readonly config: ModelConfig;
  readonly tokenizer: TextTokenizer;
  /** Longest sample in tokens; null: 128, or 384 for question answering, or what the model allows if that is less. */
  readonly maxTokens: number | null;
  /** Tokens that two windows of one context share; question answering only. */
  readonly stride: number;
  /** False where labels are not needed: they are read where they fit the model, else `labelProblem` says why not. A
   * column that was named is always checked. */
  readonly requireLabels: boolean;
}

export interface Dataset {
  readonly path: string;
  readonly rows: number;
  /** SHA-256 of the file's bytes, in hex. */
  readonly digest: string;
  readonly task: TaskKind;
  readonly hasLabels: boolean;
  /** Why labels that the file seems to have were left out, in one line; null: nothing was left out. */
  readonly labelProblem: string | null;
  /** Longest sample in tokens, as it was given or chosen. */
  readonly maxTokens: number;
  /** Tokenises rows in the order given, repeats included; null: all rows. All windows of a question follow each other. */
  encode(order: Int32Array | null): EncodedDataset;
  /** As `encode`, but stops at `count` samples, even in the middle of a question's windows. */
  encodeUntil(order: Int32Array | null, count: number): EncodedDataset;
}

export interface EncodedDataset {
  readonly samples: readonly EncodedSample[];
  /** The samples with what scoring needs of each; see `scoreDrawn`. */
  readonly drawn: readonly DrawnSample[];
  readonly scoring: Scoring | null;
  /** [samples]: row of the file that each sample is of, from 0. */
  readonly rowOfSample: Int32Array;
  /** Samples that were cut to fit; the windows of a context lose nothing and do not count. */
  readonly truncated: number;
  /** Quality of the model's outputs on these samples.
   * @param outputs [samples]: logits [outputs] of each sample, or [tokens * outputs] row-major by token for token
   * classification and question answering (2 outputs: start, end).
   * @param metric name from `metricsOfTask` to report first; null: the task's usual one.
   * @throws EspalierError "data_label" without labels, "shape_mismatch", "not_finite", "usage" */
  score(outputs: readonly Float32Array[], metric?: string | null): Scores;
}

const USUAL_MAX_TOKENS = 128;
const USUAL_MAX_TOKENS_WITH_CONTEXT = 384;

/** Reads a data file and checks every row of it.
 * @throws EspalierError "data_not_found", "data_empty", "data_format", "data_label" with file and line, or "usage". */
export async function loadDataset(options: DatasetOptions): Promise<Dataset> {
  const { path, config } = options;
  const bytes = await readDataFile(path);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const rows = parseRows(path, bytes);
  const maxTokens = chooseMaxTokens(options);
  const { encoder, labelProblem } = createCheckedEncoder(options, rows, maxTokens);

  function encodeUntil(order: Int32Array | null, count: number): EncodedDataset {
    const samples: DrawnSample[] = [];
    const draws = order ?? Int32Array.from(rows.keys());
    for (let draw = 0; draw < draws.length && samples.length < count; draw++) {
      const row = draws[draw];
      if (!(row >= 0 && row < rows.length))
        throw new EspalierError('internal', `${path}: got row ${row}, expected 0 to ${rows.length - 1}`);
      for (const sample of encoder.encodeRow(row)) if (samples.length < count) samples.push({ ...sample, row, draw });
    }
    return encodedDataset(path, config, encoder, samples);
  }

  return {
    path,
    rows: rows.length,
    digest,
    task: config.task,
    hasLabels: encoder.scoring !== null,
    labelProblem,
    maxTokens,
    encode: (order) => encodeUntil(order, Number.POSITIVE_INFINITY),
    encodeUntil,
  };
}

function createCheckedEncoder(
  options: DatasetOptions,
  rows: readonly Row[],
  maxTokens: number,
): { encoder: RowEncoder; labelProblem: string | null } {
  const { columns, requireLabels } = options;
  try {
    return { encoder: createEncoder(options, rows, maxTokens, true), labelProblem: null };
  } catch (error) {
    const guessed = columns.label === undefined && columns.answers === undefined;
    if (requireLabels || !guessed || !(error instanceof EspalierError && error.code === 'data_label')) throw error;
    return { encoder: createEncoder(options, rows, maxTokens, false), labelProblem: error.message };
  }
}

function createEncoder(
  options: DatasetOptions,
  rows: readonly Row[],
  maxTokens: number,
  readLabels: boolean,
): RowEncoder {
  const { path, columns: settings, config, tokenizer, requireLabels } = options;
  const found = { path, columns: Object.keys(rows[0].values) };
  const input = { path, rows, config, tokenizer, maxTokens, requireLabels };
  switch (config.task) {
    case 'token-classification': {
      const columns = wordColumns(found, settings, requireLabels);
      return createWordEncoder({ ...input, columns: readLabels ? columns : { ...columns, label: null } });
    }
    case 'question-answering': {
      const columns = questionColumns(found, settings, requireLabels);
      const chosen = readLabels ? columns : { ...columns, answers: null };
      return createQuestionEncoder({ ...input, columns: chosen }, options.stride);
    }
    default: {
      const columns = textColumns(found, settings, config.task, requireLabels);
      return createTextEncoder({ ...input, columns: readLabels ? columns : { ...columns, label: null } });
    }
  }
}

function chooseMaxTokens({ config, tokenizer, maxTokens }: DatasetOptions): number {
  const usual = config.task === 'question-answering' ? USUAL_MAX_TOKENS_WITH_CONTEXT : USUAL_MAX_TOKENS;
  if (maxTokens === null) return Math.min(usual, config.maxTokens);
  const least = tokenizer.pairSpecials + 2;
  if (Number.isInteger(maxTokens) && maxTokens >= least && maxTokens <= config.maxTokens) return maxTokens;
  throw new EspalierError(
    'usage',
    `max length: got ${maxTokens} tokens, expected ${least} to ${config.maxTokens} for this model`,
    { action: 'change --max-length' },
  );
}

function encodedDataset(
  path: string,
  config: ModelConfig,
  encoder: RowEncoder,
  drawn: readonly DrawnSample[],
): EncodedDataset {
  const samples = drawn.map(({ sample }) => sample);
  return {
    samples,
    drawn,
    scoring: encoder.scoring,
    rowOfSample: Int32Array.from(drawn, ({ row }) => row),
    truncated: drawn.filter(({ truncated }) => truncated).length,
    score(outputs, metric = null) {
      return scoreDrawn(path, config, encoder.scoring, drawn, outputs, metric);
    },
  };
}

/** Quality of the model's outputs on drawn samples; see EncodedDataset.score.
 * @param path what messages call the data. */
export function scoreDrawn(
  path: string,
  config: ModelConfig,
  scoring: Scoring | null,
  drawn: readonly DrawnSample[],
  outputs: readonly Float32Array[],
  metric: string | null,
): Scores {
  if (scoring === null)
    throw new EspalierError('data_label', `${path}: got no labels, expected labels to measure quality with`);
  const primary = checkMetric(config.task, metric);
  checkOutputs(
    config,
    drawn.map(({ sample }) => sample),
    outputs,
  );
  return { primary, values: scoreSamples(config, scoring, drawn, outputs).values };
}
