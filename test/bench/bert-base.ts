// The sizes of a job on a model of BERT-base's shape: what simulated workers answer with, and what a simulated job asks.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import { denseMasks, type Masks } from '../../pruning/masks.ts';
import { randomStream } from '../../pruning/random.ts';

/** With ESPALIER_BENCH_HIDDEN a model of as many layers with smaller matrices: the same calls with fewer bytes. */
export const HIDDEN = Number(process.env.ESPALIER_BENCH_HIDDEN ?? 768);
export const LAYERS = 12;
export const HEADS = 12;
export const HEAD_SIZE = HIDDEN / HEADS;
export const NEURONS = 4 * HIDDEN;
export const SAMPLES = 2048;
/** Usual samples a row of Fisher gradients. */
export const GROUP = 32;
/** What the plan of about 77k tokens comes to on a GPU. */
export const SHARDS = 20;
/** 418 MB of float32. */
export const WEIGHT_BYTES = 437_951_328;

export const CONFIG_JSON = JSON.stringify({ model_type: 'bert', hidden_size: HIDDEN, num_hidden_layers: LAYERS });

/** Only what stages read of it. */
export const CONFIG = {
  layers: LAYERS,
  hiddenSize: HIDDEN,
  heads: HEADS,
  headSize: HEAD_SIZE,
  intermediateSize: NEURONS,
} as ModelConfig;

/** MNLI-like lengths (performance.md): round(exp(N(3.55, 0.45))) in 8 to 128. */
function drawSamples(): EncodedSample[] {
  const stream = randomStream(0, 'bench:cluster');
  const uniform = () => (stream.integer(1 << 24) + 0.5) / (1 << 24);
  return Array.from({ length: SAMPLES }, () => {
    const normal = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    const tokens = Math.min(128, Math.max(8, Math.round(Math.exp(3.55 + 0.45 * normal))));
    return { tokenIds: new Int32Array(tokens).fill(1000), typeIds: new Uint8Array(tokens), target: Float32Array.of(0) };
  });
}

let drawn: EncodedSample[] | undefined;

/** Samples of a job: of the same lengths as those of others, since a coordinator tokenizes on other threads, but no two jobs
 * have the same content. */
export function samplesOf(job: string): EncodedSample[] {
  drawn ??= drawSamples();
  const [first, ...others] = drawn;
  return [{ ...first, tokenIds: first.tokenIds.map(() => Number.parseInt(job.slice(0, 4), 16) % 30_000) }, ...others];
}

/** Masks that keep every other head and neuron, about half of the MACs. */
export function halfMasks(): Masks {
  const masks = denseMasks(LAYERS, HEADS, NEURONS);
  for (const mask of [masks.headMask, masks.neuronMask])
    for (let index = 1; index < mask.length; index += 2) mask[index] = 0;
  return masks;
}

/** Samples of one shard, as makePlan cuts them. */
export function shardSamples(shard: number): number {
  const groups = SAMPLES / GROUP;
  return (Math.floor(((shard + 1) * groups) / SHARDS) - Math.floor((shard * groups) / SHARDS)) * GROUP;
}
