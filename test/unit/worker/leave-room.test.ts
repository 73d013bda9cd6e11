// What is released before gradients that would not fit beside it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { tokenBytes } from '../../../dataset/batch-memory.ts';
import { leaveRoom } from '../../../worker/tasks/leave-room.ts';
import { modelConfig } from '../coordinator/configs.ts';

const CONFIG = modelConfig();
const BATCHES = [
  { members: Int32Array.from([0, 1]), tokens: 10 },
  { members: Int32Array.from([2, 3, 4]), tokens: 8 },
];
const SHARD = { firstSample: 0, endSample: 5, batches: BATCHES };
/** Of the larger micro-batch. */
const NEEDED = 24 * tokenBytes(CONFIG, 'fused', 'gradients', 8);

/** What is released of a device of this size, of which states and models take so much. */
function released(limitBytes: number | null, statesBytes: number, modelBytes: number, isGpu = true): string[] {
  const done: string[] = [];
  let usedBytes = statesBytes + modelBytes;
  const clear = (name: string, bytes: number) => ({
    clear() {
      done.push(name);
      usedBytes -= bytes;
    },
  });
  const binding = {
    isUsingGpuDevice: () => isGpu,
    deviceMemory: () => ({ limitBytes, usedBytes, peakBytes: null }),
  };
  const kept = { engine: { binding }, states: clear('states', statesBytes), models: clear('models', modelBytes) };
  leaveRoom(kept as unknown as Parameters<typeof leaveRoom>[0], CONFIG, 'fused', [SHARD]);
  return done;
}

test('nothing, then states, then models go: as much as the largest micro-batch needs in three quarters of the device', () => {
  const limit = 10 * NEEDED;
  const usable = 0.75 * limit;
  assert.deepEqual(released(limit, NEEDED, usable - 2 * NEEDED), []);
  assert.deepEqual(released(limit, NEEDED + 1, usable - 2 * NEEDED), ['states']);
  assert.deepEqual(released(limit, NEEDED, usable - NEEDED + 1), ['states', 'models']);
});

test('on a CPU, or where memory is not known, nothing does', () => {
  assert.deepEqual(released(NEEDED, NEEDED, NEEDED, false), []);
  assert.deepEqual(released(null, NEEDED, NEEDED), []);
});
