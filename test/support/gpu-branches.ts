// An engine on the CPU that takes the branches of a GPU: what it issues there can be counted and compared without one.
import { loadOps } from '../../worker/engine/binding.ts';
import { Engine, TF32_CAPABILITY } from '../../worker/engine/engine.ts';
import { FusedKernels } from '../../worker/engine/kernels/fused-kernels.ts';
import { Ops } from '../../worker/engine/ops.ts';
import { Forward } from '../../worker/model/forward.ts';
import { ModelCache } from '../../worker/model/model-cache.ts';
import type { TaskContext } from '../../worker/tasks/task-context.ts';
import { TuningStates } from '../../worker/tuning/tuning-states.ts';
import { bindingWith, goesUp } from './binding-with.ts';
import { testBinding } from './engine.ts';

const STATE_BYTES = 1e9;

/** @returns a context, how many operations and uploads it has issued, and the names of all operations. */
export function gpuBranches(): {
  context: TaskContext;
  counts: { operations: number; uploads: number };
  names: Set<string>;
} {
  const real = testBinding();
  const counts = { operations: 0, uploads: 0 };
  const names = new Set<string>();
  const binding = bindingWith(real, {
    isUsingGpuDevice: () => true,
    executeOp(...args) {
      counts.operations += 1;
      names.add(args[0]);
      return real.executeOp(...args);
    },
    createTensor(...args) {
      if (goesUp(args[1])) counts.uploads += 1;
      return real.createTensor(...args);
    },
  });
  const { library } = loadOps();
  // Products of a CPU are float32 all the same.
  delete process.env.NVIDIA_TF32_OVERRIDE;
  const engine = new Engine(binding, library && { ...library, computeCapability: () => TF32_CAPABILITY });
  const ops = new Ops(engine);
  const forward = new Forward(ops, new FusedKernels(ops));
  const context: TaskContext = {
    ...{ engine, ops, forward },
    models: new ModelCache(ops),
    states: new TuningStates(forward, STATE_BYTES),
    checkCancelled() {},
  };
  return { context, counts, names };
}
