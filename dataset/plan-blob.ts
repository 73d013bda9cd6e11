// A plan as bytes (a safetensors blob) and back. The same plan gives the same bytes, so its SHA-256 names it.
import { EspalierError } from '../shared/errors.ts';
import { decodeSafetensors, encodeSafetensors } from '../shared/safetensors.ts';
import type { DType, NamedTensor, TensorData } from '../shared/tensor.ts';
import type { EncodedSample } from './encoded-sample.ts';
import type { MicroBatch, Plan, Shard } from './plan.ts';

const SCHEMA = '1';

const TENSORS: Readonly<Record<string, DType>> = {
  token_ids: 'I32',
  type_ids: 'U8',
  targets: 'F32',
  sample_lengths: 'I32',
  target_lengths: 'I32',
  batch_members: 'I32',
  batch_sizes: 'I32',
  batch_tokens: 'I32',
  shard_samples: 'I32',
  shard_batches: 'I32',
};

export function encodePlan(plan: Plan): Uint8Array {
  const { samples, shards } = plan;
  const batches = shards.flatMap((shard) => shard.batches);
  const tokenIds = samples.map((sample) => sample.tokenIds);
  const typeIds = samples.map((sample) => sample.typeIds);
  const targets = samples.map((sample) => sample.target);
  const members = batches.map((batch) => batch.members);
  const lengths = (parts: readonly { readonly length: number }[]) => Int32Array.from(parts, ({ length }) => length);
  const tensors = [
    vector('token_ids', concatenate(Int32Array, tokenIds)),
    vector('type_ids', concatenate(Uint8Array, typeIds)),
    vector('targets', concatenate(Float32Array, targets)),
    vector('sample_lengths', lengths(tokenIds)),
    vector('target_lengths', lengths(targets)),
    vector('batch_members', concatenate(Int32Array, members)),
    vector('batch_sizes', lengths(members)),
    vector(
      'batch_tokens',
      Int32Array.from(batches, ({ tokens }) => tokens),
    ),
    vector(
      'shard_samples',
      Int32Array.from(shards, ({ firstSample, endSample }) => endSample - firstSample),
    ),
    vector('shard_batches', lengths(shards.map((shard) => shard.batches))),
  ];
  return encodeSafetensors(tensors, {
    schema: SCHEMA,
    group_size: `${plan.groupSize}`,
    fit_shards: `${plan.fitShards}`,
  });
}

/** @throws EspalierError "protocol" where the parts do not fit together. */
export function decodePlan(bytes: Uint8Array): Plan {
  const { tensors, metadata } = decodeSafetensors(bytes, 'plan');
  if (metadata.schema !== SCHEMA)
    throw new EspalierError('protocol', `plan: got schema ${metadata.schema}, expected ${SCHEMA}`);
  const get = <T extends TensorData>(name: string): T => {
    const tensor = tensors.get(name);
    if (tensor?.dtype !== TENSORS[name])
      throw new EspalierError(
        'protocol',
        `plan: ${name}: got ${tensor?.dtype ?? 'nothing'}, expected ${TENSORS[name]}`,
      );
    return tensor.data as T;
  };
  const tokenIds = splitBy(get<Int32Array>('token_ids'), get<Int32Array>('sample_lengths'), 'token_ids');
  const typeIds = splitBy(get<Uint8Array>('type_ids'), get<Int32Array>('sample_lengths'), 'type_ids');
  const targets = splitBy(get<Float32Array>('targets'), get<Int32Array>('target_lengths'), 'targets');
  checkCount('target_lengths', targets.length, tokenIds.length);
  const samples = tokenIds.map(
    (ids, i): EncodedSample => ({ tokenIds: ids, typeIds: typeIds[i]!, target: targets[i]! }),
  );
  const members = splitBy(get<Int32Array>('batch_members'), get<Int32Array>('batch_sizes'), 'batch_members');
  const tokens = get<Int32Array>('batch_tokens');
  checkCount('batch_tokens', tokens.length, members.length);
  const batches = members.map((list, i): MicroBatch => {
    if (list.length === 0) throw new EspalierError('protocol', `plan: batch ${i}: got no sample, expected one`);
    for (const member of list) {
      const length = samples[member]?.tokenIds.length;
      if (length === undefined || length > tokens[i]!)
        throw new EspalierError(
          'protocol',
          `plan: batch ${i}: got sample ${member}, expected one of ${samples.length} with at most ${tokens[i]} tokens`,
        );
    }
    return { members: list, tokens: tokens[i]! };
  });
  const shardSamples = get<Int32Array>('shard_samples');
  const shardBatches = get<Int32Array>('shard_batches');
  checkCount('shard_batches', shardBatches.length, shardSamples.length);
  let sample = 0;
  let batch = 0;
  const shards = Array.from(shardSamples, (count, i): Shard => {
    if (count < 1 || shardBatches[i]! < 1)
      throw new EspalierError(
        'protocol',
        `plan: shard ${i}: got ${count} samples in ${shardBatches[i]} micro-batches, expected at least one`,
      );
    const shard = {
      firstSample: sample,
      endSample: sample + count,
      batches: batches.slice(batch, batch + shardBatches[i]!),
    };
    checkShard(shard, i);
    sample += count;
    batch += shardBatches[i]!;
    return shard;
  });
  checkCount('samples of all shards', sample, samples.length);
  checkCount('micro-batches of all shards', batch, batches.length);
  const groupSize = Number(metadata.group_size);
  const fitShards = Number(metadata.fit_shards);
  if (!Number.isInteger(groupSize) || groupSize < 1 || shards.some(({ firstSample }) => firstSample % groupSize !== 0))
    throw new EspalierError('protocol', `plan: got groups of ${metadata.group_size}, expected shards of whole groups`);
  if (!Number.isInteger(fitShards) || fitShards < 1 || fitShards > shards.length)
    throw new EspalierError(
      'protocol',
      `plan: got ${metadata.fit_shards} fitted shards, expected 1 to ${shards.length}`,
    );
  return { samples, groupSize, shards, fitShards };
}

function checkCount(name: string, got: number, expected: number): void {
  if (got !== expected) throw new EspalierError('protocol', `plan: ${name}: got ${got}, expected ${expected}`);
}

// Every sample of a shard is in one of its micro-batches, once.
function checkShard({ firstSample, endSample, batches }: Shard, index: number): void {
  const members = batches.flatMap((batch) => [...batch.members]).sort((a, b) => a - b);
  if (members.length !== endSample - firstSample || members.some((member, i) => member !== firstSample + i))
    throw new EspalierError(
      'protocol',
      `plan: shard ${index}: got micro-batches of ${members.length} samples, expected samples ${firstSample} to ${endSample - 1} once each`,
    );
}

function vector(name: keyof typeof TENSORS, data: TensorData): NamedTensor {
  return { name, dtype: TENSORS[name], shape: [data.length], data };
}

function concatenate<T extends Int32Array | Uint8Array | Float32Array>(
  make: new (length: number) => T,
  parts: readonly T[],
): T {
  const whole = new make(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function splitBy<T extends Int32Array | Uint8Array | Float32Array>(whole: T, lengths: Int32Array, name: string): T[] {
  let offset = 0;
  const parts = Array.from(lengths, (length) => {
    const part = whole.subarray(offset, offset + length) as T;
    offset += length;
    return part;
  });
  if (offset !== whole.length || lengths.some((length) => length < 0))
    throw new EspalierError('protocol', `plan: ${name}: got ${whole.length} elements, expected ${offset}`);
  return parts;
}
