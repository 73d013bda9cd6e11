// The program behind the npm scripts (`npm run setup`, `demo`, `cluster`, `test` and so on): sets the checkout up, then
// does what the script is named after.

import { nodeVersionProblem } from './node-version.mjs';

const compiled = (program) => async (context, args) =>
  (await import('./run-compiled.mjs')).runCompiled(context, program, args);

const PROGRAMS = {
  setup: async () => 0,
  build: async () => 0,
  demo: async (context) => (await import('./run-demo.mjs')).runDemo(context),
  cluster: async (context, args) => (await import('./run-cluster.mjs')).runCluster(context, args),
  test: async (context, args) => (await import('./run-tests.mjs')).runTests(context, args),
  'test-gpu': async (context, args) => (await import('./run-gpu-tests.mjs')).runGpuTests(context, args),
  k8s: async (context, args) => (await import('./run-k8s.mjs')).runK8s(context, args),
  faults: compiled('test/faults/main.js'),
  soak: compiled('test/soak/main.js'),
  bench: compiled('test/bench/main.js'),
  'bench-startup': compiled('test/bench/startup.js'),
  'bench-speed': compiled('test/bench/speed.js'),
  'bench-gpu': compiled('test/bench/gpu.js'),
  'bench-gpus': compiled('test/bench/gpus.js'),
  'bench-growth': compiled('test/bench/growth.js'),
  'bench-rounding': compiled('test/bench/rounding.js'),
  'bench-cluster': compiled('test/bench/cluster.js'),
  quality: compiled('test/bench/quality.js'),
  methods: compiled('test/bench/methods.js'),
  ablations: compiled('test/bench/ablations.js'),
  rules: compiled('deploy/prometheus/test-rules.js'),
  'watching-generate': compiled('deploy/watching/generate-watching.js'),
};

/** Programs that start neither the engine nor nats-server. */
const NEED_BUILD_ALONE = ['build', 'rules', 'watching-generate'];

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
    await setUp(context, NEED_BUILD_ALONE.includes(name) ? BUILD_STEPS : ALL_STEPS);
    return PROGRAMS[name](context, args);
  });
}
