// The program behind `npm run setup`, `demo`, `test`, `build`, `bench` and `quality`: sets the checkout up, then does
// what the script is named after.

import { nodeVersionProblem } from './node-version.mjs';

const PROGRAMS = {
  setup: async () => 0,
  build: async () => 0,
  demo: async (context) => (await import('./run-demo.mjs')).runDemo(context),
  test: async (context, args) => (await import('./run-tests.mjs')).runTests(context, args),
  bench: async (context, args) => (await import('./run-compiled.mjs')).runCompiled(context, 'test/bench/main.js', args),
  quality: async (context, args) =>
    (await import('./run-compiled.mjs')).runCompiled(context, 'test/bench/quality.js', args),
};

const [name = 'setup', ...args] = process.argv.slice(2);
const problem =
  nodeVersionProblem() ?? (name in PROGRAMS ? undefined : `no program ${name}: ${Object.keys(PROGRAMS).join(', ')}`);
if (problem !== undefined) {
  console.error(`set-up failed: ${problem}`);
  process.exitCode = 1;
} else {
  const { runProgram } = await import('./program.mjs');
  const { ALL_STEPS, BUILD_STEPS, setUp } = await import('./set-up.mjs');
  await runProgram(async (context) => {
    if (name === 'demo') (await import('./run-demo.mjs')).announce();
    await setUp(context, name === 'build' ? BUILD_STEPS : ALL_STEPS);
    return PROGRAMS[name](context, args);
  });
}
