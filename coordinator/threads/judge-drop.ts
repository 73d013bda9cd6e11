// The drop of a metric from a dense to a pruned model's outputs, with its bound, in a thread: thousands of resamples take
// from a tenth of a second to seconds.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { type PackedSamples, unpackSamples } from '../../dataset/packed-samples.ts';
import type { DrawnSample, Scoring } from '../../dataset/row-encoder.ts';
import { weightedMetric } from '../../dataset/weighted-metric.ts';
import { type DropBound, dropBound } from '../../pruning/drop-bound.ts';
import { type PackedOutputs, unpackOutputs } from './packed-outputs.ts';

/** What a drop is judged by, beside the outputs. */
export interface DropRule {
  readonly config: ModelConfig;
  readonly scoring: Scoring;
  /** Null: the task's usual one. */
  readonly metric: string | null;
  readonly seed: number;
}

export interface DropCall {
  readonly rule: DropRule;
  readonly samples: PackedSamples;
  readonly dense: PackedOutputs;
  readonly pruned: PackedOutputs;
  readonly confidence: number;
}

/** @param drawn every example once. @param outputs of both models, as of `scoreDrawn`. */
export function judgeDrop(
  { config, scoring, metric, seed }: DropRule,
  drawn: readonly DrawnSample[],
  outputs: { readonly dense: readonly Float32Array[]; readonly pruned: readonly Float32Array[] },
  confidence: number,
): DropBound {
  const dense = weightedMetric(config, scoring, drawn, outputs.dense, metric, 'right');
  const pruned = weightedMetric(config, scoring, drawn, outputs.pruned, metric, 'wrong');
  return dropBound(dense, pruned, { confidence, seed });
}

export function judgePackedDrop({ rule, samples, dense, pruned, confidence }: DropCall): DropBound {
  const outputs = { dense: unpackOutputs(dense), pruned: unpackOutputs(pruned) };
  return judgeDrop(rule, unpackSamples(samples), outputs, confidence);
}
