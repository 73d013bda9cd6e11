// Samples through an exported model, with answers in the form in which workers give theirs.
import type { ModelConfig } from '../model-config.ts';
import { hasHeadDense } from '../weight-names.ts';
import type { OnnxBatch, OnnxSession } from './onnx-session.ts';

/** What of a sample a model reads. */
export interface OnnxSample {
  readonly tokenIds: ArrayLike<number>;
  readonly typeIds: ArrayLike<number>;
}

/** A batch of samples, padded behind to `tokens`. */
export function onnxBatch(
  { padTokenId }: Pick<ModelConfig, 'padTokenId'>,
  samples: readonly OnnxSample[],
  tokens: number,
): OnnxBatch {
  const inputIds = new BigInt64Array(samples.length * tokens).fill(BigInt(padTokenId));
  const attentionMask = new BigInt64Array(samples.length * tokens);
  const tokenTypeIds = new BigInt64Array(samples.length * tokens);
  samples.forEach(({ tokenIds, typeIds }, sample) => {
    inputIds.set(Array.from(tokenIds, BigInt), sample * tokens);
    attentionMask.fill(1n, sample * tokens, sample * tokens + tokenIds.length);
    tokenTypeIds.set(Array.from(typeIds, BigInt), sample * tokens);
  });
  return { samples: samples.length, tokens, inputIds, attentionMask, tokenTypeIds };
}

/** Logits of each sample: [outputs], or [tokens · outputs] without those of padding where the task is by token.
 * @param tokens that samples are padded to; at least the longest's. */
export async function onnxOutputsOf(
  session: Pick<OnnxSession, 'run'>,
  config: ModelConfig,
  samples: readonly OnnxSample[],
  tokens: number,
): Promise<Float32Array[]> {
  const answers = await session.run(onnxBatch(config, samples, tokens));
  const { outputs } = config;
  if (hasHeadDense(config)) return samples.map((_, i) => answers.logits.slice(i * outputs, (i + 1) * outputs));
  return samples.map(({ tokenIds }, i) => {
    if (config.task !== 'question-answering')
      return answers.logits.slice(i * tokens * outputs, (i * tokens + tokenIds.length) * outputs);
    const pairs = new Float32Array(tokenIds.length * 2);
    for (let t = 0; t < tokenIds.length; t++) {
      pairs[2 * t] = answers.start_logits[i * tokens + t];
      pairs[2 * t + 1] = answers.end_logits[i * tokens + t];
    }
    return pairs;
  });
}
