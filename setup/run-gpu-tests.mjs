// `npm run test:gpu`: the tests of test/gpu, a process each, on this machine's GPU. ESPALIER_GPU_TESTS_ON=cpu tries them without.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { SetupProblem } from './problem.mjs';
import { runInForeground } from './program.mjs';

const FOLDER = 'dist/test/gpu';
/** Processes at once share the GPU, whose host needs longer to issue operations than small models to compute them. */
const MANY_CORES = 8;

/** @param words `npm run test:gpu -- WORD …` runs the files whose name holds one of them.
 * @returns the exit code of the tests, or that of a machine without a GPU. */
export async function runGpuTests(context, words = []) {
  const files = fs
    .readdirSync(path.join(context.root, FOLDER))
    .filter((name) => name.endsWith('.test.js') && (words.length === 0 || words.some((word) => name.includes(word))))
    .map((name) => path.join(FOLDER, name))
    .sort();
  if (files.length === 0) throw new SetupProblem(`no test file of ${FOLDER} matches: ${words.join(' ')}`);
  const env = { TF_CPP_MIN_LOG_LEVEL: '2', ...context.env };
  const noGpu = await runInForeground(context, ['--enable-source-maps', path.join(FOLDER, 'require-gpu.js')], env);
  if (noGpu !== 0) return noGpu;
  const atOnce = os.availableParallelism() >= MANY_CORES ? 4 : 2;
  const flags = ['--enable-source-maps', '--test', `--test-concurrency=${atOnce}`, '--test-reporter=spec'];
  return runInForeground(context, [...flags, ...files], env);
}
