// Scores of question answering in a thread: ten thousand contexts take most of a second.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { scoreDrawn } from '../../dataset/load-dataset.ts';
import type { Scores } from '../../dataset/metrics.ts';
import { type PackedSamples, unpackSamples } from '../../dataset/packed-samples.ts';
import type { Scoring } from '../../dataset/row-encoder.ts';
import { type PackedOutputs, unpackOutputs } from './packed-outputs.ts';

export interface QuestionScores {
  /** What messages call the data. */
  readonly path: string;
  readonly config: ModelConfig;
  readonly scoring: Scoring;
  readonly samples: PackedSamples;
  readonly outputs: PackedOutputs;
  readonly metric: string | null;
}

export function scoreQuestionOutputs(input: QuestionScores): Scores {
  const outputs = unpackOutputs(input.outputs);
  return scoreDrawn(input.path, input.config, input.scoring, unpackSamples(input.samples), outputs, input.metric);
}
