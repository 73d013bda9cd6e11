// One micro-batch on the device: samples padded to one length.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import type { MicroBatch } from '../../dataset/plan.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { DeviceTensor } from '../engine/engine.ts';
import type { AttendingSamples } from '../engine/kernels/kernels.ts';
import type { Ops } from '../engine/ops.ts';
import { type PackedPart, PackedUpload, type SentUpload, unpack } from '../engine/packed-upload.ts';

export interface DeviceBatch extends AttendingSamples {
  /** Unpadded tokens of each sample, [b]. */
  readonly lengths: Int32Array;
  /** int32 [b·n] */
  readonly tokenIds: DeviceTensor;
  /** int32 [b·n] */
  readonly typeIds: DeviceTensor;
  /** int32 [b]: rows of [b·n] that hold a first token. */
  readonly firstRows: DeviceTensor;
}

/** What a model can take. */
type BatchLimits = Pick<ModelConfig, 'maxTokens' | 'vocabularySize' | 'typeVocabularySize' | 'padTokenId'>;

/** Padded tokens of one micro-batch: four times what a plan for a GPU asks for. */
export const MOST_BATCH_TOKENS = 65536;

// Large enough that exp() of a masked score is exactly 0 in float32.
const MASKED = -1e9;

/** Where the arrays of a micro-batch lie in an upload. */
export interface PackedBatch {
  readonly samples: number;
  readonly tokens: number;
  readonly lengths: Int32Array;
  readonly tokenIds: PackedPart;
  readonly typeIds: PackedPart;
  readonly extents: PackedPart;
  readonly paddingBias: PackedPart | null;
  readonly firstRows: PackedPart;
}

/** Packs a micro-batch for a model. @throws EspalierError "protocol" when a sample does not fit the model. */
export function packBatch(
  upload: PackedUpload,
  samples: readonly EncodedSample[],
  batch: MicroBatch,
  config: BatchLimits,
): PackedBatch {
  const count = batch.members.length;
  const { tokens } = batch;
  checkBatch(samples, batch, config);
  const tokenIds = new Int32Array(count * tokens).fill(config.padTokenId);
  const typeIds = new Int32Array(count * tokens);
  const bias = new Float32Array(count * tokens).fill(MASKED);
  const lengths = new Int32Array(count);
  batch.members.forEach((member, i) => {
    const sample = samples[member]!;
    const length = sample.tokenIds.length;
    lengths[i] = length;
    tokenIds.set(sample.tokenIds, i * tokens);
    typeIds.set(sample.typeIds, i * tokens);
    bias.fill(0, i * tokens, i * tokens + length);
  });
  const isPadded = lengths.some((length) => length < tokens);
  const firstRows = Int32Array.from({ length: count }, (_, i) => i * tokens);
  const extents = extentsOf([...firstRows, count * tokens], lengths);
  return {
    samples: count,
    tokens,
    lengths,
    tokenIds: upload.add(tokenIds, [tokenIds.length]),
    typeIds: upload.add(typeIds, [typeIds.length]),
    extents: upload.add(extents, [extents.length]),
    paddingBias: isPadded ? upload.add(bias, [count, 1, 1, tokens]) : null,
    firstRows: upload.add(firstRows, [count]),
  };
}

/** Where samples lie, as AttendingSamples has it. @param starts rows, with the end of the last sample. */
export function extentsOf(starts: readonly number[], lengths: Iterable<number>): Float32Array {
  return new Float32Array(Int32Array.from([...starts, ...lengths]).buffer);
}

/** A packed micro-batch on the device. The tensors belong to the scope that is open. @param sent its upload. */
export function unpackBatch(ops: Ops, sent: SentUpload, packed: PackedBatch): DeviceBatch {
  const { samples, tokens, lengths, paddingBias } = packed;
  return {
    samples,
    tokens,
    lengths,
    tokenIds: unpack(ops, sent, packed.tokenIds),
    typeIds: unpack(ops, sent, packed.typeIds),
    extents: unpack(ops, sent, packed.extents),
    paddingBias: paddingBias && unpack(ops, sent, paddingBias),
    firstRows: unpack(ops, sent, packed.firstRows),
  };
}

/** Uploads one micro-batch for a model. The tensors belong to the scope that is open.
 * @throws EspalierError "protocol" when a sample does not fit the model. */
export function uploadBatch(
  ops: Ops,
  samples: readonly EncodedSample[],
  batch: MicroBatch,
  config: BatchLimits,
): DeviceBatch {
  return ops.engine.scope(() => {
    const upload = new PackedUpload();
    const packed = packBatch(upload, samples, batch, config);
    return unpackBatch(ops, upload.send(ops), packed);
  });
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
