// Plain and fused kernels on a GPU, function by function, against float64.
import assert from 'node:assert/strict';
import test from 'node:test';
import { openKernels } from '../../worker/engine/kernels/open-kernels.ts';
import { testContext } from '../support/engine.ts';
import { KERNEL_TOLERANCES, kernelCases } from '../support/kernel-cases.ts';

const { engine, ops } = testContext({ kernels: 'plain' });
const skip = engine.binding.isUsingGpuDevice() ? false : 'no GPU here';

for (const kind of ['plain', 'fused'] as const)
  test(`${kind} kernels are the formulas on a GPU`, { skip }, () => {
    const { kernels } = openKernels(ops, kind);
    let worst = 0;
    for (const { name, errors } of kernelCases())
      for (const [result, error] of errors(engine, kernels)) {
        assert.ok(error < KERNEL_TOLERANCES[kind], `${name}, ${result}: got a relative error of ${error}`);
        worst = Math.max(worst, error);
      }
    console.log(`# ${kind}: at worst ${worst.toExponential(1)}`);
  });
