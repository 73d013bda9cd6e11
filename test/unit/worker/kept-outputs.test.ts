// Outputs of a teacher that are kept: found by name, released last come first, and those of another teacher first of all.
import assert from 'node:assert/strict';
import test from 'node:test';
import { type DeviceTensor, type Engine, FLOAT } from '../../../worker/engine/engine.ts';
import { KeptOutputs } from '../../../worker/tuning/kept-outputs.ts';

/** Kept outputs with an engine that only notes what it is asked to do. */
function keptOutputs() {
  const [kept, disposed]: [number[], number[]] = [[], []];
  const engine = {
    keep: (tensors: readonly DeviceTensor[]) => kept.push(...tensors.map(({ id }) => id)),
    dispose: ({ id }: DeviceTensor) => disposed.push(id),
  } as unknown as Engine;
  return { outputs: new KeptOutputs(engine), kept, disposed };
}

const tensor = (id: number, rows: number): DeviceTensor => ({ id, shape: [rows, 5], dtype: FLOAT });

test('what was put is found under its name, out of every scope, and counted', () => {
  const { outputs, kept, disposed } = keptOutputs();
  outputs.put('a/0', tensor(1, 2));
  outputs.put('a/1', tensor(2, 3));
  assert.deepEqual([outputs.get('a/0')?.id, outputs.get('a/1')?.id, outputs.get('a/2')], [1, 2, undefined]);
  assert.deepEqual([kept, disposed, outputs.bytes], [[1, 2], [], 100]);
});

test('room is made by what came last; what came first stays', () => {
  const { outputs, disposed } = keptOutputs();
  for (let id = 0; id < 4; id++) outputs.put(`a/${id}`, tensor(id, 1));
  outputs.shrinkTo(80);
  assert.deepEqual(disposed, []);
  outputs.shrinkTo(45);
  assert.deepEqual([disposed, outputs.bytes], [[3, 2], 40]);
  assert.deepEqual([outputs.get('a/1')?.id, outputs.get('a/2')], [1, undefined]);
  outputs.clear();
  assert.deepEqual([disposed, outputs.bytes], [[3, 2, 1, 0], 0]);
});

test('those of another teacher go, the others keep their order', () => {
  const { outputs, disposed } = keptOutputs();
  for (const [id, name] of ['a/0', 'b/0', 'a/1', 'b/1', 'a/2'].entries()) outputs.put(name, tensor(id, 1));
  outputs.dropOthers('a/');
  assert.deepEqual([disposed, outputs.bytes], [[1, 3], 60]);
  outputs.shrinkTo(40);
  assert.deepEqual(disposed, [1, 3, 4]);
  assert.equal(outputs.get('b/0'), undefined);
});
