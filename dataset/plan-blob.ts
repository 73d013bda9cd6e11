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
  const lengths = plan.samples.map((sample) => sample.tokenIds.length);
  const targetLengths = plan.samples.map((sample) => sample.target.length);
  const batches = plan.shards.flatMap((shard) => shard.batches);
  const tensors = [
    vector(
      'token_ids',
      concatenate(
        Int32Array,
        plan.samples.map((sample) => sample.tokenIds),
      ),
    ),
    vector(
      'type_ids',
      concatenate(
        Uint8Array,
        plan.samples.map((sample) => sample.typeIds),
      ),
    ),
    vector(
      'targets',
      concatenate(
        Float32Array,
        plan.samples.map((sample) => sample.target),
      ),
    ),
    vector('sample_lengths', Int32Array.from(lengths)),
    vector('target_lengths', Int32Array.from(targetLengths)),
    vector(
      'batch_members',
      concatenate(
        Int32Array,
        batches.map((batch) => batch.members),
      ),
    ),
    vector(
      'batch_sizes',
      Int32Array.from(batches, (batch) => batch.members.length),
    ),
    vector(
      'batch_tokens',
      Int32Array.from(batches, (batch) => batch.tokens),
    ),
    vector(
      'shard_samples',
      Int32Array.from(plan.shards, (shard) => shard.endSample - shard.firstSample),
    ),
    vector(
      'shard_batches',
      Int32Array.from(plan.shards, (shard) => shard.batches.length),
    ),
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
  if (targets.length !== tokenIds.length)
    throw new EspalierError('protocol', `plan: got ${targets.length} targets, expected ${tokenIds.length}`);
  const samples = tokenIds.map(
    (ids, i): EncodedSample => ({ tokenIds: ids, typeIds: typeIds[i]!, target: targets[i]! }),
  );
  const members = splitBy(get<Int32Array>('batch_members'), get<Int32Array>('batch_sizes'), 'batch_members');
  const tokens = get<Int32Array>('batch_tokens');
  const batches = members.map((list, i): MicroBatch => {
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
  const shardBatches = get<Int32Array>('shard_batches');
  let sample = 0;
  let batch = 0;
  const shards = Array.from(get<Int32Array>('shard_samples'), (count, i): Shard => {
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
  if (sample !== samples.length || batch !== batches.length)
    throw new EspalierError('protocol', `plan: shards hold ${sample} samples, expected ${samples.length}`);
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

// Every sample of a shard is in one of its micro-batches, once.
function checkShard({ firstSample, endSample, batches }: Shard, index: number): void {
  const members = batches.flatMap((batch) => [...batch.members]).sort((a, b) => a - b);
  if (members.length !== endSample - firstSample || members.some((member, i) => member !== firstSample + i))
    throw new EspalierError(
      'protocol',
      `plan: shard ${index}: got micro-batches of ${members.length} samples, expected samples ${firstSample} to ${endSample - 1} once each`,
    );
}

function vector(name: string, data: TensorData): NamedTensor {
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
