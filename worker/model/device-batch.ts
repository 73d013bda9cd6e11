// One micro-batch on the device: samples padded to one length, or one after the other without padding.
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
  /** Rows of its hidden states: b·n, or all tokens. */
  readonly rows: number;
  /** int32 [rows] */
  readonly tokenIds: DeviceTensor;
  /** int32 [rows] */
  readonly typeIds: DeviceTensor;
  /** int32 [b]: rows that hold a first token. */
  readonly firstRows: DeviceTensor;
  /** null: rows are padded. */
  readonly unpadded: UnpaddedRows | null;
}

/** Where rows without padding are among padded ones. */
export interface UnpaddedRows {
  /** int32 [rows]: in the table of positions. */
  readonly positions: DeviceTensor;
  /** int32 [b·n]: row of each padded place; of padding the sample's first. */
  readonly paddedRows: DeviceTensor;
  /** int32 [rows]: padded place of each row. */
  readonly places: DeviceTensor;
  /** int32 [rows]: number of the sample whose first token it is, b where it is none. */
  readonly firstOf: DeviceTensor;
}

export type BatchForm = 'padded' | 'unpadded';

/** What a model can take. */
type BatchLimits = Pick<
  ModelConfig,
  'maxTokens' | 'vocabularySize' | 'typeVocabularySize' | 'padTokenId' | 'positionOffset'
>;

/** Padded tokens of one micro-batch: four times what a plan for a GPU asks for. */
export const MOST_BATCH_TOKENS = 65536;

// Large enough that exp() of a masked score is exactly 0 in float32.
const MASKED = -1e9;

/** Where the arrays of a micro-batch lie in an upload. */
export interface PackedBatch {
  readonly samples: number;
  readonly tokens: number;
  readonly lengths: Int32Array;
  readonly rows: number;
  readonly tokenIds: PackedPart;
  readonly typeIds: PackedPart;
  readonly extents: PackedPart;
  readonly paddingBias: PackedPart | null;
  readonly firstRows: PackedPart;
  readonly unpadded: Readonly<Record<keyof UnpaddedRows, PackedPart>> | null;
}

/** Packs a micro-batch for a model. @throws EspalierError "protocol" when a sample does not fit the model. */
export function packBatch(
  upload: PackedUpload,
  samples: readonly EncodedSample[],
  batch: MicroBatch,
  config: BatchLimits,
  form: BatchForm = 'padded',
): PackedBatch {
  const { tokens } = batch;
  checkBatch(samples, batch, config);
  const members = Array.from(batch.members, (member) => samples[member]!);
  const count = members.length;
  const lengths = Int32Array.from(members, ({ tokenIds }) => tokenIds.length);
  const starts = new Int32Array(count + 1);
  for (let i = 0; i < count; i++) starts[i + 1] = starts[i]! + (form === 'padded' ? tokens : lengths[i]!);
  const rows = starts[count]!;
  const tokenIds = new Int32Array(rows).fill(config.padTokenId);
  const typeIds = new Int32Array(rows);
  const bias = new Float32Array(count * tokens).fill(MASKED);
  members.forEach((sample, i) => {
    tokenIds.set(sample.tokenIds, starts[i]);
    typeIds.set(sample.typeIds, starts[i]);
    bias.fill(0, i * tokens, i * tokens + lengths[i]!);
  });
  const isPadded = lengths.some((length) => length < tokens);
  const extents = extentsOf(starts, lengths);
  const add = (values: Int32Array | Float32Array) => upload.add(values, [values.length]);
  return {
    ...{ samples: count, tokens, lengths, rows },
    tokenIds: add(tokenIds),
    typeIds: add(typeIds),
    extents: add(extents),
    paddingBias: isPadded ? upload.add(bias, [count, 1, 1, tokens]) : null,
    firstRows: add(starts.slice(0, count)),
    unpadded: form === 'padded' ? null : packUnpadded(add, { tokens, lengths, starts }, config.positionOffset),
  };
}

function packUnpadded(
  add: (values: Int32Array) => PackedPart,
  { tokens, lengths, starts }: { readonly tokens: number; readonly lengths: Int32Array; readonly starts: Int32Array },
  positionOffset: number,
): PackedBatch['unpadded'] {
  const count = lengths.length;
  const rows = starts[count]!;
  const [positions, places, firstOf] = [0, 1, 2].map(() => new Int32Array(rows));
  firstOf!.fill(count);
  const paddedRows = new Int32Array(count * tokens);
  for (let i = 0; i < count; i++) {
    const start = starts[i]!;
    const length = lengths[i]!;
    firstOf![start] = i;
    for (let token = 0; token < tokens; token++)
      paddedRows[i * tokens + token] = token < length ? start + token : start;
    for (let token = 0; token < length; token++) {
      positions![start + token] = positionOffset + token;
      places![start + token] = i * tokens + token;
    }
  }
  return { positions: add(positions!), paddedRows: add(paddedRows), places: add(places!), firstOf: add(firstOf!) };
}

/** Where samples lie, as AttendingSamples has it. @param starts rows, with the end of the last sample. */
export function extentsOf(starts: Iterable<number>, lengths: Iterable<number>): Float32Array {
  return new Float32Array(Int32Array.from([...starts, ...lengths]).buffer);
}

/** A packed micro-batch on the device. The tensors belong to the scope that is open. @param sent its upload. */
export function unpackBatch(ops: Ops, sent: SentUpload, packed: PackedBatch): DeviceBatch {
  const { samples, tokens, lengths, rows, paddingBias, unpadded } = packed;
  return {
    ...{ samples, tokens, lengths, rows },
    tokenIds: unpack(ops, sent, packed.tokenIds),
    typeIds: unpack(ops, sent, packed.typeIds),
    extents: unpack(ops, sent, packed.extents),
    paddingBias: paddingBias && unpack(ops, sent, paddingBias),
    firstRows: unpack(ops, sent, packed.firstRows),
    unpadded: unpadded && {
      positions: unpack(ops, sent, unpadded.positions),
      paddedRows: unpack(ops, sent, unpadded.paddedRows),
      places: unpack(ops, sent, unpadded.places),
      firstOf: unpack(ops, sent, unpadded.firstOf),
    },
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
