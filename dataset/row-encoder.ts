// What loading a data set asks of the three kinds of data: texts, words, and questions with a context.
import type { EncodedSample } from './encoded-sample.ts';
import type { Scores } from './metrics.ts';

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

/** Turns rows into samples, one row at a time, and outputs of the model into scores. All rows have been checked before
 * an encoder exists. */
export interface RowEncoder {
  readonly hasLabels: boolean;
  encodeRow(row: number): RowSample[];
  /** @param outputs [samples], each [outputs] or [tokens * outputs] row-major by token. */
  score(samples: readonly DrawnSample[], outputs: readonly Float32Array[]): Scores;
}
