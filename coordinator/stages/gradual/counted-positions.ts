// Which positions of a sub-layer count: all tokens; in the last layer of a sequence classifier the first of each sample, since the
// head reads nothing else. Counted and summed in place: a plan has millions of them.
import { hasHeadDense } from '../../../checkpoint/weight-names.ts';
import type { Plan } from '../../../dataset/plan.ts';
import type { ShardSpan } from '../../../pruning/fold-tree.ts';
import type { JobContext } from '../../job/job-context.ts';

/** Tokens of some shards, padding left out. */
export function tokensOf({ shards, samples }: Pick<Plan, 'shards' | 'samples'>, { first, end }: ShardSpan): number {
  let tokens = 0;
  for (let sample = shards[first].firstSample; sample < shards[end - 1].endSample; sample++)
    tokens += samples[sample].tokenIds.length;
  return tokens;
}

/** Positions of some shards that count for a sub-layer. */
export interface CountedPositions {
  /** All tokens of the shards. */
  readonly tokens: number;
  /** How many count. */
  of(subLayer: number): number;
  /** Sum of the values of those that count, in their order. @param values [tokens]. */
  sum(subLayer: number, values: Float32Array): number;
}

export function countedPositions(
  { calibration, checkpoint }: Pick<JobContext, 'calibration' | 'checkpoint'>,
  span: ShardSpan,
): CountedPositions {
  const { plan } = calibration;
  const { config } = checkpoint;
  const { firstSample } = plan.shards[span.first];
  const { endSample } = plan.shards[span.end - 1];
  const tokens = tokensOf(plan, span);
  const isFirstAlone = (subLayer: number) => hasHeadDense(config) && subLayer >= 2 * (config.layers - 1);
  return {
    tokens,
    of: (subLayer) => (isFirstAlone(subLayer) ? endSample - firstSample : tokens),
    sum: (subLayer, values) => (isFirstAlone(subLayer) ? sumOfFirst(plan, span, values) : sumOf(values)),
  };
}

function sumOf(values: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += values[at];
  return sum;
}

/** Over the first token of each sample of the shards, in the order of their micro-batches. */
function sumOfFirst(
  { shards, samples }: Pick<Plan, 'shards' | 'samples'>,
  span: ShardSpan,
  values: Float32Array,
): number {
  let sum = 0;
  let at = 0;
  for (let shard = span.first; shard < span.end; shard++)
    for (const { members } of shards[shard].batches)
      for (const sample of members) {
        sum += values[at];
        at += samples[sample].tokenIds.length;
      }
  return sum;
}
