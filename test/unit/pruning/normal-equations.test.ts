import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSumsTo, type ScaleSums, sumsFromTensors, sumsToTensors } from '../../../pruning/normal-equations.ts';
import { randomStream } from '../../../pruning/random.ts';
import { EspalierError } from '../../../shared/errors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { makeProblem, sumsOf } from '../../support/least-squares.ts';
import { residualOf } from '../../support/plain-solve.ts';
import { addSums, addSystems, outputProjection, scaleSystem, systemOfSums } from '../../support/plain-system.ts';

const random = randomStream(2, 'normal-equations');

for (const [blockSize, withOffset] of [
  [1, false],
  [1, true],
  [3, false],
  [3, true],
] as const)
  test(`the system is that of the explicit matrix A: blocks of ${blockSize}, offset ${withOffset}`, () => {
    const { x, r, weight, features, hiddenSize, positions } = makeProblem(random, 6, 5, 20);
    const k = features / blockSize;
    const columns = Array.from({ length: k }, (_, i) =>
      Float64Array.from({ length: positions * hiddenSize }, (_, at) => {
        let sum = 0;
        for (let f = i * blockSize; f < (i + 1) * blockSize; f++)
          sum += x[Math.floor(at / hiddenSize) * features + f] * weight[f * hiddenSize + (at % hiddenSize)];
        return sum;
      }),
    );
    if (withOffset) columns.push(new Float64Array(positions * hiddenSize).fill(1));
    const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, at) => sum + value * b[at], 0);
    const projection = outputProjection(weight, { features, hiddenSize, blockSize });
    const system = scaleSystem(sumsOf(x, r, features, hiddenSize), projection, withOffset);
    assert.equal(system.size, columns.length);
    // Float64 sums of 100 terms in another order.
    assertClose(
      system.matrix,
      columns.flatMap((a) => columns.map((b) => dot(a, b))),
    );
    assertClose(
      system.right,
      columns.map((a) => dot(a, r)),
    );
    assertClose([system.targetSquares], [dot(r, r)]);

    const scales = Float64Array.from({ length: k }, () => random.uniform() * 2);
    const error = r.map((value, at) => columns.slice(0, k).reduce((sum, a, i) => sum + scales[i] * a[at], 0) - value);
    const mean = withOffset ? error.reduce((sum, value) => sum + value, 0) / error.length : 0;
    const expected = error.reduce((sum, value) => sum + (value - mean) ** 2, 0) / error.length;
    assertClose([residualOf(system, scales)], [expected]);
  });

test('sums of two halves add up to the sums of the whole, and so do their systems', () => {
  const { x, r, weight, features, hiddenSize } = makeProblem(random, 4, 3, 10);
  const half = (data: Float64Array, width: number, part: number) =>
    data.slice(part * 5 * width, (part + 1) * 5 * width);
  const [a, b] = [0, 1].map((part) => sumsOf(half(x, features, part), half(r, hiddenSize, part), features, hiddenSize));
  const whole = sumsOf(x, r, features, hiddenSize);
  const added = addSums(a, b);
  assertClose(added.gram, [...whole.gram]);
  assertClose(added.cross, [...whole.cross]);
  assert.equal(added.positions, 10);
  const projection = outputProjection(weight, { features, hiddenSize, blockSize: 2 });
  const [systemA, systemB, system] = [a, b, whole].map((sums) => scaleSystem(sums, projection, true));
  assertClose(addSystems(systemA, systemB).matrix, [...system.matrix]);
  assertClose(addSystems(systemA, systemB).right, [...system.right]);
});

test('an empty sub-layer has a system of nothing, or of the offset alone', () => {
  const sums = sumsOf(new Float64Array(0), Float64Array.of(1, 2, 3), 0, 3);
  const projection = outputProjection(new Float64Array(0), { features: 0, hiddenSize: 3, blockSize: 2 });
  assert.equal(scaleSystem(sums, projection, false).size, 0);
  assert.deepEqual([...scaleSystem(sums, projection, true).matrix], [3]);
});

/** Sums of `scales` scales as a worker returns them, whole. */
function scaleSums(scales: number, withOffset: boolean): ScaleSums {
  const draw = (length: number) => new Float64Array(length).map(() => random.uniform());
  const [right, offset] = [draw(scales), draw(withOffset ? scales : 0)];
  return { scales, matrix: draw(scales ** 2), right, offset, targetSum: 3, targetSquares: 5, positions: 10 };
}

test('sums are added element by element into the first; those of another form are refused', () => {
  for (const withOffset of [false, true]) {
    const [a, b] = [scaleSums(4, withOffset), scaleSums(4, withOffset)];
    const expected = addSystems(systemOfSums(a, 3), systemOfSums(b, 3));
    const added = addSumsTo(a, b);
    assert.equal(added.matrix, a.matrix);
    assert.deepEqual(systemOfSums(added, 3), expected);
    for (const other of [scaleSums(3, withOffset), scaleSums(4, !withOffset), { ...b, matrix: b.matrix.slice(1) }])
      assert.throws(() => addSumsTo(a, other), { code: 'shape_mismatch', message: /expected 4 scales, 16 elements/ });
  }
});

test('tensors of the sums come back unchanged; what is missing, misshapen or not finite is refused', () => {
  const map = (list: NamedTensor[]) => new Map(list.map((tensor) => [tensor.name, tensor]));
  for (const sums of [scaleSums(4, false), scaleSums(4, true), scaleSums(1, true), scaleSums(0, false)])
    assert.deepEqual(sumsFromTensors(map(sumsToTensors(sums))), sums);
  const tensors = sumsToTensors(scaleSums(4, true));
  for (const tensor of tensors) {
    refused(() => sumsFromTensors(map(tensors.filter((other) => other !== tensor))), 'protocol', tensor.name);
    const change = (fields: Partial<NamedTensor>) =>
      map(tensors.map((other) => (other === tensor ? { ...other, ...fields } : other)));
    refused(() => sumsFromTensors(change({ shape: [7, 7, 7] })), 'protocol', tensor.name);
    refused(
      () => sumsFromTensors(change({ dtype: 'F32', data: new Float32Array(tensor.data.length) })),
      'protocol',
      tensor.name,
    );
    const broken = (tensor.data as Float64Array).with(0, Number.NaN);
    refused(() => sumsFromTensors(change({ data: broken })), 'not_finite', 'NaN');
    // Of a matrix a part of the lower triangle may be left out, and the right side says how many scales there are.
    const kept = { matrix: 9, right: 3 }[tensor.name] ?? tensor.data.length - 1;
    const short = (tensor.data as Float64Array).slice(0, kept);
    const named = tensor.name === 'right' ? 'matrix' : tensor.name;
    refused(() => sumsFromTensors(change({ shape: [short.length], data: short })), 'protocol', named);
  }
});

function refused(action: () => unknown, code: string, text: string): void {
  assert.throws(
    action,
    (error) => error instanceof EspalierError && error.code === code && error.message.includes(text),
  );
}

function assertClose(got: ArrayLike<number>, expected: readonly number[]): void {
  assert.equal(got.length, expected.length);
  expected.forEach((value, at) => {
    assert.ok(Math.abs(got[at] - value) < 1e-11 * (1 + Math.abs(value)), `${at}: got ${got[at]}, expected ${value}`);
  });
}
