// A sample as the model sees it: token ids and the target of its loss. Tokenising is encode-*.ts, order and batches are plan.ts.

export interface EncodedSample {
  /** [tokens], special tokens included, no padding. */
  readonly tokenIds: Int32Array;
  /** [tokens]: 0 for the first text, 1 for the second; all 0 where the architecture has no token types. */
  readonly typeIds: Uint8Array;
  /** What the loss compares with, by task:
   * - single-label-classification: [1], the class id
   * - multi-label-classification: [outputs], 0 or 1 each
   * - regression: [outputs]
   * - token-classification: [tokens], class id or -100 where no label counts (special tokens, later pieces of a word)
   * - question-answering: [2], first and last token of the answer; both 0 when the window does not hold it
   * Empty where the data has no labels. */
  readonly target: Float32Array;
}
