// Scores of question answering in a thread: ten thousand contexts take most of a second.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { scoreDrawn } from '../../dataset/load-dataset.ts';
import type { Scores } from '../../dataset/metrics.ts';
import { type PackedSamples, unpackSamples } from '../../dataset/packed-samples.ts';
import type { Scoring } from '../../dataset/row-encoder.ts';

export interface QuestionScores {
  /** What messages call the data. */
  readonly path: string;
  readonly config: ModelConfig;
  readonly scoring: Scoring;
  readonly samples: PackedSamples;
  /** Those of all samples, one after the other. */
  readonly outputs: Float32Array;
  /** [samples]. */
  readonly outputLengths: Int32Array;
  readonly metric: string | null;
}

export function scoreQuestionOutputs(input: QuestionScores): Scores {
  let end = 0;
  const outputs = Array.from(input.outputLengths, (length) => {
    end += length;
    return input.outputs.subarray(end - length, end);
  });
  return scoreDrawn(input.path, input.config, input.scoring, unpackSamples(input.samples), outputs, input.metric);
}
