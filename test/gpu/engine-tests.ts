// The tests of the engine on a GPU: those of test/integration/engine, the same code on another engine.
//
// TensorFlow reads its environment once a process, so each engine has a test file, and with it a process, of its own. With
// ESPALIER_GPU_TESTS_ON=cpu they run on the CPU's engine, where TF32 is rounded by hand (test/support/rounding-binding.ts).
import { chooseEngine, type EngineUnderTest } from '../support/engine-under-test.ts';
import { requireGpu, testedDevice } from './require-gpu.ts';

const FILES = [
  ...['oracle', 'gradients', 'refit', 'reference-parity', 'transformers-parity', 'determinism', 'out-of-memory'],
];
/** What products are rounded to changes nothing of these but the numbers that they begin with. */
const FLOAT32_FILES = [
  ...['engine', 'losses', 'tuning-solve', 'activations', 'leaks'],
  ...['transfers', 'weight-upload', 'fused-agrees', 'patched-student', 'refit-bits'],
];

/** What is computed otherwise where products may round. */
const TF32_FILES = ['varlen-attention'];

/** Registers all of them. Ends the process with a line and an exit code where there is no GPU. */
export async function testEngine(engine: Omit<EngineUnderTest, 'device'>): Promise<void> {
  chooseEngine({ ...engine, device: testedDevice() });
  requireGpu();
  const files = engine.products === 'float32' ? [...FILES, ...FLOAT32_FILES] : [...FILES, ...TF32_FILES];
  for (const file of files) await import(`../integration/engine/${file}.test.js`);
}
