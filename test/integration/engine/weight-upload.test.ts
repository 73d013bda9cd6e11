// Weights arrive on the device as the file has them, transposed and scaled, though many of them go through the same memory.
import assert from 'node:assert/strict';
import test from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { elementCount } from '../../../shared/tensor.ts';
import type { DeviceTensor } from '../../../worker/engine/engine.ts';
import { WeightUpload } from '../../../worker/model/weight-upload.ts';
import { testContext } from '../../support/engine.ts';

/** The first is the largest, so that all others go through its memory. One row, and one column: transposing moves nothing. */
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  large: [512, 640],
  row: [1, 64],
  column: [96, 1],
  query: [32, 64],
  key: [32, 64],
  bias: [32],
  other: [48, 80],
  words: [100, 64],
};

const random = randomStream(1, 'weight upload');
const stored = new Map(
  Object.entries(SHAPES).map(([name, shape]) => [
    name,
    Float32Array.from({ length: elementCount(shape) }, () => random.uniform() - 0.5),
  ]),
);
const checkpoint = {
  shape: (name: string) => SHAPES[name]!,
  tensorSync(name: string, target: Float32Array = new Float32Array(elementCount(SHAPES[name]!))) {
    target.set(stored.get(name)!);
    return target;
  },
};

const scaled = (name: string, factor: number) => stored.get(name)!.map((value) => value * factor);

/** [rows, columns] of rows to [columns, rows]. */
function transposed(values: Float32Array, rows: number): Float32Array {
  const columns = values.length / rows;
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

test('each weight is what the file has, after all of them were loaded', () => {
  const { engine, ops } = testContext();
  const before = engine.tensorCount;
  const upload = new WeightUpload(ops, checkpoint);
  const names = ['query', 'key'];
  const loaded: [name: string, got: DeviceTensor, shape: number[], expected: Float32Array][] = [
    ['large', upload.kernel(['large'], [1]), [640, 512], transposed(scaled('large', 1), 512)],
    ['row', upload.kernel(['row'], [1]), [64, 1], scaled('row', 1)],
    ['column', upload.kernel(['column'], [0.5]), [1, 96], scaled('column', 0.5)],
    [
      'query and key',
      upload.kernel(names, [0.25, 1]),
      [64, 64],
      transposed(Float32Array.of(...scaled('query', 0.25), ...scaled('key', 1)), 64),
    ],
    ['bias', upload.tensor('bias', 2), [32], scaled('bias', 2)],
    [
      'biases',
      upload.vector(['bias', 'bias'], [1, 3]),
      [64],
      Float32Array.of(...scaled('bias', 1), ...scaled('bias', 3)),
    ],
    ['words', upload.tensor('words'), [100, 64], scaled('words', 1)],
    ['other', upload.kernel(['other'], [1]), [80, 48], transposed(scaled('other', 1), 48)],
  ];
  for (const [name, got, shape, expected] of loaded) {
    assert.deepEqual(got.shape, shape, name);
    assert.deepEqual(engine.downloadFloat32(got), expected, name);
    engine.dispose(got);
  }
  // Transposing keeps a constant of its own.
  assert.ok(engine.tensorCount - before <= 1);
});
