// Downloads that go on while their caller does: the numbers are those of the tensor when they were asked for, whatever comes of it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Engine } from '../../../worker/engine/engine.ts';
import { bindingWith } from '../../support/binding-with.ts';
import { testBinding, testContext } from '../../support/engine.ts';

const { engine, ops } = testContext({ kernels: 'plain' });

test('numbers come whole and in order, also of tensors that are released meanwhile', () => {
  const before = engine.tensorCount;
  const made = Array.from({ length: 24 }, (_, i) => {
    const data = Float32Array.from({ length: [0, 1, 300, 1_500_000][i % 4] }, (_, at) => Math.sin(at + i));
    return {
      data,
      finish: engine.scope(() => engine.beginDownload(ops.add(engine.upload(data, [data.length]), engine.scalar(0)))),
    };
  });
  for (const { data, finish } of made.toReversed()) assert.deepEqual(finish(), data);
  assert.ok(engine.tensorCount <= before + 1, 'but for a constant');
});

test('one that nobody finishes leaves nothing, and the next is right', () => {
  const data = Float32Array.from({ length: 1_000_000 }, (_, i) => i);
  for (let i = 0; i < 50; i++) engine.scope(() => engine.beginDownload(engine.upload(data, [data.length])) && null);
  assert.deepEqual(engine.scope(() => engine.beginDownload(engine.upload(data, [1000, 1000])))(), data);
});

test('what cannot be brought is an error that names the tensor, and a second call is refused', () => {
  engine.scope(() => {
    const [numbers, wide] = [engine.upload(Float32Array.of(1, 2), [2]), engine.uploadFloat64(Float64Array.of(1), [1])];
    assert.throws(() => engine.beginDownload(wide), { code: 'engine', message: /^download \[1\]: .*float32/ });
    const finish = engine.beginDownload(numbers);
    assert.deepEqual([...finish()], [1, 2]);
    assert.throws(() => finish(), { code: 'engine', message: /^download \[2\]: .*second call/ });
    assert.throws(() => engine.beginDownload({ ...numbers, id: -1 }), { code: 'engine', message: /tensor_id: -1/ });
  });
});

test('a binding of an older set-up gives the same at once', () => {
  const own = new Engine(bindingWith(testBinding(), { beginDownload: undefined }));
  own.scope(() => assert.deepEqual([...own.beginDownload(own.upload(Float32Array.of(3, 4), [2]))()], [3, 4]));
});
