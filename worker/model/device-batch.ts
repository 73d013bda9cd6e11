// One micro-batch on the device: samples padded to one length.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import type { MicroBatch } from '../../dataset/plan.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';

export interface DeviceBatch {
  /** b */
  readonly samples: number;
  /** n: length that every sample is padded to. */
  readonly tokens: number;
  /** Unpadded tokens of each sample, [b]. */
  readonly lengths: Int32Array;
  /** int32 [b, n] */
  readonly tokenIds: DeviceTensor;
  /** int32 [b, n] */
  readonly typeIds: DeviceTensor;
  /** [b, 1, 1, n]: 0 at tokens, −1e9 at padding; null where nothing is padded. */
  readonly paddingBias: DeviceTensor | null;
  /** int32: rows of [b·n] that are tokens and not padding; null where nothing is padded. */
  readonly tokenRows: DeviceTensor | null;
  /** int32 [b]: rows of [b·n] that hold a first token. */
  readonly firstRows: DeviceTensor;
}

/** What a model can take. */
type BatchLimits = Pick<ModelConfig, 'maxTokens' | 'vocabularySize' | 'typeVocabularySize' | 'padTokenId'>;

/** Padded tokens of one micro-batch: four times what a plan for a GPU asks for. */
export const MOST_BATCH_TOKENS = 65536;

// Large enough that exp() of a masked score is exactly 0 in float32.
const MASKED = -1e9;

/** Uploads a micro-batch for a model. The tensors belong to the scope that is open.
 * @throws EspalierError "protocol" when a sample does not fit the model. */
export function uploadBatch(
  engine: Engine,
  samples: readonly EncodedSample[],
  batch: MicroBatch,
  config: BatchLimits,
): DeviceBatch {
  const count = batch.members.length;
  const { tokens } = batch;
  checkBatch(samples, batch, config);
  const tokenIds = new Int32Array(count * tokens).fill(config.padTokenId);
  const typeIds = new Int32Array(count * tokens);
  const bias = new Float32Array(count * tokens).fill(MASKED);
  const lengths = new Int32Array(count);
  const rows: number[] = [];
  batch.members.forEach((member, i) => {
    const sample = samples[member]!;
    const length = sample.tokenIds.length;
    lengths[i] = length;
    tokenIds.set(sample.tokenIds, i * tokens);
    typeIds.set(sample.typeIds, i * tokens);
    bias.fill(0, i * tokens, i * tokens + length);
    for (let t = 0; t < length; t++) rows.push(i * tokens + t);
  });
  const padded = rows.length < count * tokens;
  return {
    samples: count,
    tokens,
    lengths,
    tokenIds: engine.upload(tokenIds, [count, tokens]),
    typeIds: engine.upload(typeIds, [count, tokens]),
    paddingBias: padded ? engine.upload(bias, [count, 1, 1, tokens]) : null,
    tokenRows: padded ? engine.upload(Int32Array.from(rows), [rows.length]) : null,
    firstRows: engine.upload(
      Int32Array.from({ length: count }, (_, i) => i * tokens),
      [count],
    ),
  };
}

/** @throws EspalierError "protocol" when a sample does not fit the model. */
export function checkBatch(samples: readonly EncodedSample[], batch: MicroBatch, config: BatchLimits): void {
  const { maxTokens, vocabularySize, typeVocabularySize } = config;
  if (!(batch.members.length > 0 && batch.tokens >= 1 && batch.tokens <= maxTokens))
    throw new EspalierError(
      'protocol',
      `batch: got ${batch.members.length} samples of ${batch.tokens} tokens, expected samples of 1 to ${maxTokens}`,
    );
  if (batch.members.length * batch.tokens > MOST_BATCH_TOKENS)
    throw new EspalierError(
      'protocol',
      `batch: got ${batch.members.length} samples of ${batch.tokens} tokens, expected at most ${MOST_BATCH_TOKENS} tokens`,
    );
  for (const member of batch.members) {
    const { tokenIds, typeIds } = samples[member]!;
    if (tokenIds.length < 1) throw new EspalierError('protocol', `sample ${member}: got no token, expected one`);
    checkIds(`sample ${member}: token`, tokenIds, vocabularySize);
    // A model without types reads none.
    if (typeVocabularySize > 0) checkIds(`sample ${member}: type`, typeIds, typeVocabularySize);
  }
}

function checkIds(name: string, ids: Int32Array | Uint8Array, end: number): void {
  for (const id of ids)
    if (!(id >= 0 && id < end)) throw new EspalierError('protocol', `${name}: got ${id}, expected 0 to ${end - 1}`);
}
