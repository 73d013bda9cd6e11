// What loading a data set asks of the three kinds of data: texts, words, and questions with a context.
import type { EncodedSample } from './encoded-sample.ts';
import type { GoldAnswer } from './question-answers.ts';

/** One model input of a row. */
export interface RowSample {
  readonly sample: EncodedSample;
  /** True where a part of the row did not fit and is in no sample. */
  readonly truncated: boolean;
  /** Question answering: the part of the context that this sample holds. */
  readonly window: ContextWindow | null;
}

/** The context tokens of a sample, from `position` on, and the characters of the context that each came from. */
export interface ContextWindow {
  readonly position: number;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** A sample as it was drawn: the same row may be drawn more than once. */
export interface DrawnSample extends RowSample {
  readonly row: number;
  /** Index of the draw; the windows of one question share it. */
  readonly draw: number;
}

/** Turns rows into samples, one row at a time. All rows have been checked before an encoder exists. */
export interface RowEncoder {
  /** Null: the data has no labels. */
  readonly scoring: Scoring | null;
  encodeRow(row: number): RowSample[];
}

/** What scoring needs beside samples and outputs. Plain data, so that any thread can score. */
export type Scoring =
  | { readonly kind: 'texts' }
  | { readonly kind: 'words' }
  | {
      readonly kind: 'questions';
      /** By row. */
      readonly contexts: readonly string[];
      readonly golds: readonly (readonly GoldAnswer[])[];
      /** Some questions of the file have no answer, so that the model may predict none. */
      readonly unanswerable: boolean;
    };
