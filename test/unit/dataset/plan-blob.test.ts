// Plans as bytes: there and back, and refused where the parts do not fit together.
import assert from 'node:assert/strict';
import test from 'node:test';
import { makePlan, type Plan } from '../../../dataset/plan.ts';
import { decodePlan, encodePlan } from '../../../dataset/plan-blob.ts';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { samplesOf } from './samples.ts';

// Three shards of 2, 4 and 4 samples.
const PLAN: Plan = makePlan(samplesOf([3, 9, 4, 4, 7, 2, 8, 8, 5, 6]), {
  groupSize: 2,
  tokensPerBatch: 20,
  tokensPerShard: 20,
  leastShards: 3,
  heldOut: 0.25,
});

interface Parts {
  readonly tensors: Map<string, NamedTensor>;
  readonly metadata: Record<string, string>;
}

/** The plan's bytes with something in them changed. */
function spoilt(change: (parts: Parts) => void): Uint8Array {
  const { tensors, metadata } = decodeSafetensors(encodePlan(PLAN), 'plan');
  const parts: Parts = { tensors: new Map(tensors), metadata: { ...metadata } };
  change(parts);
  return encodeSafetensors([...parts.tensors.values()], parts.metadata);
}

/** Puts other int32 numbers in the place of a tensor's. */
function withNumbers(name: string, change: (numbers: number[]) => number[]): Uint8Array {
  return spoilt(({ tensors }) => {
    const data = Int32Array.from(change([...(tensors.get(name)!.data as Int32Array)]));
    tensors.set(name, { name, dtype: 'I32', shape: [data.length], data });
  });
}

const plus =
  (by: number, at = 0) =>
  (numbers: number[]) =>
    numbers.map((value, i) => (i === at ? value + by : value));

test('there and back: the same plan, and the same bytes again', () => {
  const bytes = encodePlan(PLAN);
  assert.deepEqual(decodePlan(bytes), PLAN);
  assert.deepEqual(encodePlan(decodePlan(bytes)), bytes);
});

const REFUSED: Record<string, [bytes: () => Uint8Array, text: RegExp]> = {
  'another schema': [
    () =>
      spoilt(({ metadata }) => {
        metadata.schema = '2';
      }),
    /^plan: got schema 2, expected 1$/,
  ],
  'a tensor that is missing': [
    () => spoilt(({ tensors }) => tensors.delete('targets')),
    /^plan: targets: got nothing, expected F32$/,
  ],
  'a tensor of another type': [
    () =>
      spoilt(({ tensors }) =>
        tensors.set('type_ids', { name: 'type_ids', dtype: 'I32', shape: [1], data: Int32Array.of(0) }),
      ),
    /^plan: type_ids: got I32, expected U8$/,
  ],
  'lengths that do not add up': [
    () => withNumbers('sample_lengths', plus(1)),
    /^plan: token_ids: got 56 elements, expected 57$/,
  ],
  'a negative length': [
    () => withNumbers('sample_lengths', ([first, second, ...rest]) => [-1, second + first + 1, ...rest]),
    /^plan: token_ids: got 56 elements, expected 56$/,
  ],
  'too few targets': [
    () => withNumbers('target_lengths', ([first, second, ...rest]) => [first + second, ...rest]),
    /^plan: target_lengths: got 9, expected 10$/,
  ],
  'a sample that is not there': [
    () => withNumbers('batch_members', () => [99, ...members().slice(1)]),
    /^plan: batch 0: got sample 99/,
  ],
  'a sample longer than its micro-batch': [
    () => withNumbers('batch_tokens', plus(-1)),
    /^plan: batch 0: got sample \d+, expected one of 10 with at most \d+ tokens$/,
  ],
  'a sample twice': [
    () => withNumbers('batch_members', ([first, , ...rest]) => [first, first, ...rest]),
    /^plan: shard 0: got micro-batches of 2 samples, expected samples 0 to 1 once each$/,
  ],
  'an empty micro-batch': [
    () => withNumbers('batch_sizes', (sizes) => [0, ...sizes]),
    /^plan: batch_tokens: got \d+, expected \d+$/,
  ],
  'an empty micro-batch with a length': [
    () =>
      spoilt(({ tensors }) => {
        for (const [name, value] of [
          ['batch_sizes', 0],
          ['batch_tokens', 1],
        ] as const) {
          const data = Int32Array.of(value, ...(tensors.get(name)!.data as Int32Array));
          tensors.set(name, { name, dtype: 'I32', shape: [data.length], data });
        }
      }),
    /^plan: batch 0: got no sample, expected one$/,
  ],
  'an empty shard': [() => withNumbers('shard_samples', plus(-2)), /^plan: shard 0: got 0 samples in \d micro-batches/],
  'a shard without a micro-batch': [
    () => withNumbers('shard_batches', ([, ...rest]) => [0, ...rest]),
    /^plan: shard 0: got 2 samples in 0 micro-batches/,
  ],
  'fewer counts of micro-batches than shards': [
    () => withNumbers('shard_batches', (counts) => counts.slice(1)),
    /^plan: shard_batches: got 2, expected 3$/,
  ],
  'samples in no shard': [
    () =>
      spoilt(({ tensors }) => {
        for (const name of ['shard_samples', 'shard_batches']) {
          const data = (tensors.get(name)!.data as Int32Array).slice(0, 2);
          tensors.set(name, { name, dtype: 'I32', shape: [2], data });
        }
      }),
    /^plan: samples of all shards: got 6, expected 10$/,
  ],
  'a group that is cut': [
    () =>
      spoilt(({ metadata }) => {
        metadata.group_size = '3';
      }),
    /^plan: got groups of 3, expected shards of whole groups$/,
  ],
  'no group size': [
    () =>
      spoilt(({ metadata }) => {
        delete metadata.group_size;
      }),
    /^plan: got groups of undefined, expected shards of whole groups$/,
  ],
  'more fitted shards than shards': [
    () =>
      spoilt(({ metadata }) => {
        metadata.fit_shards = '4';
      }),
    /^plan: got 4 fitted shards, expected 1 to 3$/,
  ],
  'no fitted shard': [
    () =>
      spoilt(({ metadata }) => {
        metadata.fit_shards = '0';
      }),
    /^plan: got 0 fitted shards, expected 1 to 3$/,
  ],
};

for (const [name, [bytes, message]] of Object.entries(REFUSED))
  test(`refused: ${name}`, () => {
    assert.throws(() => decodePlan(bytes()), { code: 'protocol', message });
  });

function members(): number[] {
  return PLAN.shards.flatMap(({ batches }) => batches.flatMap((batch) => [...batch.members]));
}
