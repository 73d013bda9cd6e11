// Samples of question answering: a question and a window of its context. A context that does not fit gives several
// windows, each of which shares `stride` tokens with the one before it; the question is never cut. As in transformers'
// run_qa.py.
import { EspalierError } from '../shared/errors.ts';
import type { QuestionColumns } from './columns.ts';
import { type EncoderInput, textOf } from './encode-texts.ts';
import { type GoldAnswer, goldAnswers, hasNoAnswers } from './question-answers.ts';
import type { ContextWindow, RowEncoder, RowSample } from './row-encoder.ts';
import type { TextPieces } from './text-tokenizer.ts';

/** Checks the texts and answers of all rows and returns their encoder.
 * @param stride tokens that neighbouring windows share.
 * @throws EspalierError "data_format" or "data_label" with file and line. */
export function createQuestionEncoder(input: EncoderInput<QuestionColumns>, stride: number): RowEncoder {
  const { path, rows, columns, tokenizer, maxTokens, requireLabels } = input;
  const questions = rows.map((row) => textOf(path, row, columns.question).trimStart());
  const contexts = rows.map((row) => textOf(path, row, columns.context));
  const { answers } = columns;
  const unlabelled = answers === null || (!requireLabels && rows.every((row) => hasNoAnswers(answers, row)));
  const golds = unlabelled ? null : rows.map((row, i) => goldAnswers(path, answers, row, contexts[i]));
  const unanswerable = golds?.some((list) => list.length === 0) ?? false;

  return {
    scoring: golds && { kind: 'questions', contexts, golds, unanswerable },
    encodeRow(row) {
      const question = tokenizer.tokenIds(questions[row]);
      const pieces = tokenizer.pieces(contexts[row]);
      const room = maxTokens - tokenizer.pairSpecials - question.length;
      const fits = pieces.tokenIds.length <= room;
      if (!fits && room <= stride)
        throw new EspalierError(
          'data_format',
          `${path}:${rows[row].line}: got a question of ${question.length} tokens, which leaves ${Math.max(room, 0)} of ${maxTokens} tokens for the context, expected more than the stride of ${stride}`,
          { action: 'raise --max-length, lower --stride or shorten the question' },
        );
      return windowStarts(pieces.tokenIds.length, room, stride).map((start): RowSample => {
        const end = Math.min(start + room, pieces.tokenIds.length);
        const joined = tokenizer.join(question, pieces.tokenIds.subarray(start, end));
        const window = windowOf(pieces, start, end, joined.secondStart);
        const target = golds ? answerTarget(window, golds[row][0] ?? null) : new Float32Array(0);
        return {
          sample: { tokenIds: joined.tokenIds, typeIds: joined.typeIds, target },
          truncated: false,
          window,
        };
      });
    },
  };
}

/** First tokens of the windows of `length` tokens: always one window, the last one reaches the end. */
export function windowStarts(length: number, room: number, stride: number): number[] {
  const starts = [0];
  while (starts[starts.length - 1] + room < length) starts.push(starts[starts.length - 1] + room - stride);
  return starts;
}

function windowOf(pieces: TextPieces, start: number, end: number, position: number): ContextWindow {
  return { position, starts: pieces.starts.subarray(start, end), ends: pieces.ends.subarray(start, end) };
}

/** Target [2] of a window: the last token that starts no later than the answer and the first that ends no earlier;
 * (0, 0) where the window does not hold the whole answer. */
export function answerTarget(window: ContextWindow, gold: GoldAnswer | null): Float32Array {
  const { position, starts, ends } = window;
  const tokens = starts.length;
  if (gold === null || tokens === 0 || starts[0] > gold.start || ends[tokens - 1] < gold.end)
    return Float32Array.of(0, 0);
  let first = 0;
  while (first + 1 < tokens && starts[first + 1] <= gold.start) first++;
  let last = tokens - 1;
  while (last > 0 && ends[last - 1] >= gold.end) last--;
  return Float32Array.of(position + first, position + last);
}
