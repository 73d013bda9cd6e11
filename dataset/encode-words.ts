// Samples of token classification: a list of words a row with one label each. The label stands at the first token of
// its word, as in transformers' run_ner.py; other tokens have -100, which no loss and no metric counts.
import { EspalierError } from '../shared/errors.ts';
import type { WordColumns } from './columns.ts';
import type { EncoderInput } from './encode-texts.ts';
import { describe, isUnlabelled, parseList, wordTargets } from './labels.ts';
import type { Row } from './read-rows.ts';
import type { RowEncoder } from './row-encoder.ts';

const NO_LABEL = -100;

/** Checks the words and labels of all rows and returns their encoder.
 * @throws EspalierError "data_format" or "data_label" with file and line. */
export function createWordEncoder(input: EncoderInput<WordColumns>): RowEncoder {
  const { path, rows, columns, config, tokenizer, maxTokens, requireLabels } = input;
  const words = rows.map((row) => wordsOf(path, row, columns.words));
  const { label } = columns;
  const unlabelled = label === null || (!requireLabels && rows.every((row) => isUnlabelled(row.values[label])));
  const labels = unlabelled
    ? null
    : wordTargets(
        { path, column: label, config },
        rows,
        words.map((list) => list.length),
      );
  return {
    scoring: labels === null ? null : { kind: 'words' },
    encodeRow(row) {
      const pieces = words[row].map((word) => tokenizer.wordTokenIds(word));
      const length = pieces.reduce((sum, ids) => sum + ids.length, 0);
      const kept = Math.min(length, Math.max(0, maxTokens - tokenizer.singleSpecials));
      const content = new Int32Array(length);
      const contentTarget = new Float32Array(length).fill(NO_LABEL);
      let position = 0;
      pieces.forEach((ids, word) => {
        content.set(ids, position);
        if (labels && ids.length > 0) contentTarget[position] = labels[row][word];
        position += ids.length;
      });
      const { tokenIds, typeIds, firstStart } = tokenizer.join(content.subarray(0, kept), null);
      const target = new Float32Array(labels ? tokenIds.length : 0).fill(NO_LABEL);
      if (labels) target.set(contentTarget.subarray(0, kept), firstStart);
      return [{ sample: { tokenIds, typeIds, target }, truncated: kept < length, window: null }];
    },
  };
}

function wordsOf(path: string, row: Row, column: string): string[] {
  const list = parseList(row.values[column]);
  if (list?.every((word) => typeof word === 'string')) return list as string[];
  const got = describe(row.values[column]);
  throw new EspalierError('data_format', `${path}:${row.line}: ${column}: got ${got}, expected a list of words`);
}
