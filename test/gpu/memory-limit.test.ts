// A limit of the GPU's memory is TensorFlow's: what is beyond it fails as memory that ran out, though the card has room.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine, FLOAT, INT32, type } from '../../worker/engine/engine.ts';
import { setEngineEnvironment } from '../../worker/engine-executor.ts';
import { requireGpu, testedDevice } from './require-gpu.ts';

const LIMIT_BYTES = 2e9;
const MIB = 1024 * 1024;

// TensorFlow reads it once, when it is loaded.
setEngineEnvironment({ threads: 1, device: testedDevice(), gpuMemoryBytes: LIMIT_BYTES });
requireGpu();

test('an allocation beyond the limit is "out_of_memory", one within it is not', (t) => {
  if (testedDevice() === 'cpu') return t.skip('a limit of a GPU changes nothing on a CPU');
  const engine = new Engine();
  const zeros = (bytes: number) =>
    engine.scope(() => {
      const inputs = [engine.constant([bytes / 4]), engine.scalar(0)];
      engine.op('Fill', inputs, [type('T', FLOAT), type('index_type', INT32)]);
    });
  const { limitBytes } = engine.binding.deviceMemory();
  assert.equal(limitBytes, Math.floor(LIMIT_BYTES / MIB) * MIB);
  zeros(1e9);
  assert.throws(() => zeros(3e9), { code: 'out_of_memory' });
  zeros(1e9);
  const { peakBytes, usedBytes } = engine.binding.deviceMemory();
  assert.ok(peakBytes! >= 1e9 && peakBytes! <= LIMIT_BYTES, `peak ${peakBytes}`);
  assert.ok(usedBytes! < 1e8, `${usedBytes} still in use`);
});
