// The plan of a job: which samples, in which order, in which shards and micro-batches. It is made once, stored, and named
// by the SHA-256 of its bytes; workers never choose sizes by themselves. That is what makes results equal for any number
// of workers: a product's last bits depend on the shape of its batch.
import type { EncodedSample } from './encoded-sample.ts';

export interface MicroBatch {
  /** Sample numbers, shortest first. */
  readonly members: Int32Array;
  /** Length that its samples are padded to. */
  readonly tokens: number;
}

/** Whole Fisher groups that are worked on together. */
export interface Shard {
  /** Samples [firstSample, endSample) in drawn order. */
  readonly firstSample: number;
  readonly endSample: number;
  readonly batches: readonly MicroBatch[];
}

export interface Plan {
  /** In drawn order. */
  readonly samples: readonly EncodedSample[];
  /** Samples a row of Fisher gradients; the last group may be smaller. */
  readonly groupSize: number;
  readonly shards: readonly Shard[];
  /** Shards [0, fitShards) are fitted in tuning, the others judge. */
  readonly fitShards: number;
}

/** Lengths from `from` tokens on go up to the next multiple, but not beyond `most`. */
export interface LengthRounding {
  readonly multiple: number;
  readonly from: number;
  readonly most: number;
}

export interface PlanLimits {
  readonly groupSize: number;
  /** Padded tokens of a micro-batch at the most (one long sample may exceed it). */
  readonly tokensPerBatch: number;
  /** What one more micro-batch costs beside its tokens, in tokens: more makes fewer of them, with more padding. Left out: a
   * CPU's. */
  readonly batchOverheadTokens?: number;
  /** Left out: samples are padded to the longest of their micro-batch. */
  readonly rounding?: LengthRounding;
  /** Whoever computes does without padding: it costs nothing, within bounds. Left out: false. */
  readonly isUnpadded?: boolean;
  /** Unpadded tokens that a shard should have. */
  readonly tokensPerShard: number;
  /** Shards to have at least, where there are groups enough. */
  readonly leastShards: number;
  /** Part of the shards that is held out to judge tuning, in [0, 1): at least one of several, unless 0. */
  readonly heldOut: number;
}

/** Padded tokens of a micro-batch that is computed without padding, in those that it may have: a head's few rows are padded. */
const MOST_PADDING = 2;

// On a CPU: about 200 operations of 20 µs against 100 µs a token.
const CPU_OVERHEAD_TOKENS = 48;

/** Cuts samples into groups, shards and micro-batches. */
export function makePlan(samples: readonly EncodedSample[], limits: PlanLimits): Plan {
  const groups = Math.ceil(samples.length / limits.groupSize);
  const total = samples.reduce((sum, sample) => sum + sample.tokenIds.length, 0);
  const wanted = Math.max(limits.leastShards, Math.round(total / limits.tokensPerShard));
  const count = Math.max(1, Math.min(groups, wanted));
  const shards = Array.from({ length: count }, (_, i): Shard => {
    const firstSample = Math.floor((i * groups) / count) * limits.groupSize;
    const endSample = Math.min(samples.length, Math.floor(((i + 1) * groups) / count) * limits.groupSize);
    return { firstSample, endSample, batches: packBatches(samples, firstSample, endSample, limits) };
  });
  const held = count === 1 || limits.heldOut === 0 ? 0 : Math.max(1, Math.round(count * limits.heldOut));
  return { samples, groupSize: limits.groupSize, shards, fitShards: count - held };
}

/** Samples sorted by length and cut into micro-batches so that what is computed plus the overhead of a batch is least: dynamic
 * programming over the cut points. */
export function packBatches(
  samples: readonly EncodedSample[],
  first: number,
  end: number,
  {
    tokensPerBatch,
    batchOverheadTokens = CPU_OVERHEAD_TOKENS,
    rounding,
    isUnpadded = false,
  }: Pick<PlanLimits, 'tokensPerBatch' | 'batchOverheadTokens' | 'rounding' | 'isUnpadded'>,
): MicroBatch[] {
  const length = (sample: number) => samples[sample]!.tokenIds.length;
  const order = Array.from({ length: end - first }, (_, i) => first + i).sort((a, b) => length(a) - length(b) || a - b);
  const best = new Float64Array(order.length + 1).fill(Number.POSITIVE_INFINITY);
  const cut = new Int32Array(order.length + 1);
  best[0] = 0;
  for (let stop = 1; stop <= order.length; stop++) {
    const tokens = paddedLength(length(order[stop - 1]!), rounding);
    let unpadded = 0;
    for (let start = stop - 1; start >= 0; start--) {
      const padded = tokens * (stop - start);
      unpadded += length(order[start]!);
      const computed = isUnpadded ? Math.max(unpadded, padded / MOST_PADDING) : padded;
      if (computed > tokensPerBatch && start < stop - 1) break;
      const cost = best[start]! + computed + batchOverheadTokens;
      if (cost < best[stop]!) {
        best[stop] = cost;
        cut[stop] = start;
      }
    }
  }
  const batches: MicroBatch[] = [];
  for (let stop = order.length; stop > 0; stop = cut[stop]!) {
    const members = Int32Array.from(order.slice(cut[stop]!, stop));
    batches.push({ members, tokens: paddedLength(length(order[stop - 1]!), rounding) });
  }
  return batches.reverse();
}

function paddedLength(tokens: number, rounding: LengthRounding | undefined): number {
  if (rounding === undefined || tokens < rounding.from) return tokens;
  const { multiple, most } = rounding;
  return Math.max(tokens, Math.min(most, Math.ceil(tokens / multiple) * multiple));
}

/** Tokens without padding. */
export function planTokens(plan: Plan): number {
  return plan.samples.reduce((sum, sample) => sum + sample.tokenIds.length, 0);
}

/** Rows of a micro-batch that is padded. */
export function paddedRows({ members, tokens }: MicroBatch): number {
  return members.length * tokens;
}

/** Tokens that are computed, padding included. */
export function paddedTokens(plan: Plan): number {
  return plan.shards.flatMap((shard) => shard.batches).reduce((sum, batch) => sum + paddedRows(batch), 0);
}
