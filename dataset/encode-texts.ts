// Samples of classification and regression: one text or a pair a row.
import type { ModelConfig } from '../checkpoint/model-config.ts';
import { EspalierError } from '../shared/errors.ts';
import type { TextColumns } from './columns.ts';
import {
  classTargets,
  describe,
  isUnlabelled,
  type LabelPlace,
  multiLabelTargets,
  regressionTargets,
} from './labels.ts';
import type { Row } from './read-rows.ts';
import type { RowEncoder } from './row-encoder.ts';
import type { TextTokenizer } from './text-tokenizer.ts';

export interface EncoderInput<Columns> {
  readonly path: string;
  readonly rows: readonly Row[];
  readonly columns: Columns;
  readonly config: ModelConfig;
  readonly tokenizer: TextTokenizer;
  readonly maxTokens: number;
  readonly requireLabels: boolean;
}

const NO_TARGET = new Float32Array(0);

/** Checks the texts and labels of all rows and returns their encoder.
 * @throws EspalierError "data_format" or "data_label" with file and line. */
export function createTextEncoder(input: EncoderInput<TextColumns>): RowEncoder {
  const { path, rows, columns, tokenizer, maxTokens } = input;
  const texts = rows.map((row) => textOf(path, row, columns.text));
  const pairs = columns.textPair === null ? null : rows.map((row) => textOf(path, row, columns.textPair as string));
  const targets = readTargets(input);
  return {
    scoring: targets === null ? null : { kind: 'texts' },
    encodeRow(row) {
      const { tokenIds, typeIds, truncated } = tokenizer.encode(texts[row], pairs?.[row] ?? null, maxTokens);
      return [{ sample: { tokenIds, typeIds, target: targets?.[row] ?? NO_TARGET }, truncated, window: null }];
    },
  };
}

function readTargets({ path, rows, columns, config, requireLabels }: EncoderInput<TextColumns>): Float32Array[] | null {
  const { label } = columns;
  if (label === null || (!requireLabels && rows.every((row) => isUnlabelled(row.values[label])))) return null;
  const place: LabelPlace = { path, column: label, config };
  if (config.task === 'regression') return regressionTargets(place, rows);
  if (config.task === 'multi-label-classification') return multiLabelTargets(place, rows);
  return classTargets(place, rows);
}

/** The text in a column of a row. @throws EspalierError "data_format" when it is none. */
export function textOf(path: string, row: Row, column: string): string {
  const value = row.values[column];
  if (typeof value === 'string') return value;
  throw new EspalierError('data_format', `${path}:${row.line}: ${column}: got ${describe(value)}, expected a text`);
}
