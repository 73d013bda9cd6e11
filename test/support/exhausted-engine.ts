// Memory that runs out where TensorFlow says so: in the engine that all tests of a process share.
import type test from 'node:test';
import type { Engine } from '../../worker/engine/engine.ts';
import { testContext } from './engine.ts';

/** Makes the next `times` products fail as TensorFlow does, until the test ends. */
export function exhaust(t: test.TestContext, times: number): { readonly left: number } {
  const { engine } = testContext();
  const { binding } = engine;
  const state = { left: times };
  const executeOp = (...args: Parameters<typeof binding.executeOp>) => {
    if (args[0] !== 'MatMul' || state.left === 0) return binding.executeOp(...args);
    state.left -= 1;
    throw new Error('OOM when allocating tensor with shape[1,1]');
  };
  (engine as { binding: Engine['binding'] }).binding = new Proxy({} as Engine['binding'], {
    get: (_, name) => (name === 'executeOp' ? executeOp : Reflect.get(binding, name)),
  });
  t.after(() => {
    (engine as { binding: Engine['binding'] }).binding = binding;
  });
  return state;
}
