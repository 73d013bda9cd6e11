// Which operations a worker on a GPU uses that TensorFlow compiles when they are first used, for a tenth of a second and more each:
// none in the check of its start, one in tasks, with which it warms up before it serves, and those of rarer heads. Names are
// recorded on the CPU, with the branches that a GPU takes.
import assert from 'node:assert/strict';
import test from 'node:test';
import { loadOps } from '../../../worker/engine/binding.ts';
import { HostFunctions } from '../../../worker/engine/kernels/host-functions.ts';
import { PlainKernels } from '../../../worker/engine/kernels/plain-kernels.ts';
import { disagreement } from '../../../worker/engine/kernels/self-check.ts';
import { warmUp } from '../../../worker/tasks/warm-up.ts';
import { WARM_UP_PARTS, type WarmUpPart } from '../../../worker/tasks/warm-up-parts.ts';
import { gpuBranches } from '../../support/gpu-branches.ts';

const skip = loadOps().library === null ? `no fused kernels: ${loadOps().problem}` : false;

/** Of TensorFlow 2.21: functions of float32 and float64 that its library has no code for GPUs beside (`nm`: no `…_kernel_blob`). */
const COMPILED = [
  ...['Atan2', 'Ceil', 'Digamma', 'Elu', 'Erf', 'Erfc', 'Exp'],
  ...['Expm1', 'Floor', 'FloorMod', 'Lgamma', 'Log', 'Log1p', 'Maximum'],
  ...['Minimum', 'Neg', 'NextAfter', 'OnesLike', 'Polygamma', 'Pow', 'Reciprocal'],
  ...['Relu', 'Rint', 'Round', 'Rsqrt', 'SelectV2', 'Selu', 'Sigmoid'],
  ...['Sign', 'Softplus', 'Softsign', 'Sqrt', 'Square', 'SquaredDifference', 'TruncateDiv'],
  ...['Xdivy', 'Xlog1py', 'Xlogy', 'ZerosLike', 'Zeta'],
];

const SIZES = {
  ...{ layers: 2, hiddenSize: 16, heads: 4, neurons: 24 },
  ...{ samples: 16, tokens: 12, tokensPerBatch: 48 },
};

const compiled = (names: ReadonlySet<string>) => COMPILED.filter((name) => names.has(name));

test('the check of a start needs none of them', { skip }, () => {
  const { context, names } = gpuBranches();
  const { engine } = context;
  const reference = new PlainKernels(new HostFunctions(engine));
  // The fused kernels have a GPU's names alone there.
  disagreement(engine, reference, reference);
  assert.ok(names.has('Tanh'));
  assert.deepEqual(compiled(names), []);
});

test('tasks need one, which the first part of a warm-up has, and those of rarer heads', { skip }, async () => {
  const expected: Partial<Record<WarmUpPart, string[]>> = {
    fisher: ['Exp'],
    heads: ['Exp', 'Relu', 'Sigmoid', 'Softplus'],
    gradients: ['Exp'],
  };
  for (const part of WARM_UP_PARTS) {
    const { context, names } = gpuBranches();
    await warmUp(context, part, SIZES);
    assert.deepEqual(compiled(names), expected[part] ?? [], part);
  }
});
