// Samples in a few arrays and back.
import assert from 'node:assert/strict';
import test from 'node:test';
import { buffersOf, packSamples, unpackSamples } from '../../../dataset/packed-samples.ts';
import type { DrawnSample } from '../../../dataset/row-encoder.ts';

const drawn = (row: number, tokens: number[], target: number[], window: DrawnSample['window'] = null): DrawnSample => ({
  sample: {
    tokenIds: Int32Array.from(tokens),
    typeIds: Uint8Array.from(tokens, (token) => token % 2),
    target: Float32Array.from(target),
  },
  truncated: row === 2,
  window,
  row,
  draw: 10 + row,
});

const SAMPLES = [
  drawn(2, [1, 70000, 3], [1.5]),
  drawn(0, [], []),
  drawn(2, [9], [0, 0], { position: 0, starts: Int32Array.of(), ends: Int32Array.of() }),
  drawn(1, [4, 5], [-100, 2], { position: 1, starts: Int32Array.of(0, 4), ends: Int32Array.of(3, 9) }),
];

test('come back as they were, with and without windows', () => {
  assert.deepEqual(unpackSamples(packSamples(SAMPLES)), SAMPLES);
  assert.deepEqual(unpackSamples(packSamples([])), []);
});

test('can be handed to another thread, once', () => {
  const packed = packSamples(SAMPLES);
  const moved = structuredClone(packed, { transfer: buffersOf(packed) });
  assert.deepEqual(unpackSamples(moved), SAMPLES);
  assert.equal(packed.tokenIds.length, 0);
});
