// Options of TensorFlow that reach it through the environment: seen in a process of their own, since they are read once.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { gpuMemoryLimit, TENSORFLOW_CONFIG } from '../../../worker/engine/tensorflow-config.ts';

const BINDING = new URL('../../../worker/engine/binding.js', import.meta.url);
const PROGRAM = `
  const { loadBinding } = await import(${JSON.stringify(BINDING)});
  const { readdirSync } = await import('node:fs');
  const binding = loadBinding();
  const before = binding.deviceMemory();
  binding.createTensor([1000000], 1, new Float32Array(1000000));
  const { usedBytes, peakBytes } = binding.deviceMemory();
  const threads = readdirSync('/proc/self/task').length;
  console.log(JSON.stringify({ threads, used: usedBytes - before.usedBytes, peak: peakBytes - before.peakBytes }));`;

/** What the program tells under these options. */
async function told(config: string): Promise<{ threads: number; used: number; peak: number }> {
  const env = { ...process.env, [TENSORFLOW_CONFIG]: config, TF_CPP_MIN_LOG_LEVEL: '2', CUDA_VISIBLE_DEVICES: '-1' };
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', PROGRAM], { env });
  return JSON.parse(stdout);
}

test('options reach TensorFlow, and the memory of the device is told', async () => {
  const usual = await told('');
  assert.equal(usual.used, usual.peak);
  assert.ok(usual.used >= 4e6 && usual.used < 5e6, `${usual.used} bytes of 1e6 floats`);
  // ConfigProto.intra_op_parallelism_threads, field 2: 7 and 21.
  const [few, many] = [await told('1007'), await told('1015')];
  assert.equal(many.threads - few.threads, 14);
  assert.equal((await told(gpuMemoryLimit(16e9))).threads, usual.threads, 'a limit of a GPU changes nothing on a CPU');
});

test('options that are none end the process with one line', async () => {
  for (const [config, problem] of [
    ['ffffff', 'Unparseable ConfigProto'],
    ['4g', 'got no pairs of hexadecimal digits'],
  ]) {
    const line = `FATAL ERROR: tensorflow ${TENSORFLOW_CONFIG}: ${problem}`;
    await assert.rejects(told(config), (error: { stderr: string }) => error.stderr.includes(line));
  }
});
