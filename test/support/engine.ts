// An engine in the test's own process, without gRPC, for tests of tasks.

import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import { makePlan, type Plan, type PlanLimits } from '../../dataset/plan.ts';
import { loadBinding, loadOps, type OpsLibrary, type TensorflowBinding } from '../../worker/engine/binding.ts';
import { Engine } from '../../worker/engine/engine.ts';
import type { KernelsWanted } from '../../worker/engine/kernels/kernels-wanted.ts';
import { openKernels } from '../../worker/engine/kernels/open-kernels.ts';
import { Ops } from '../../worker/engine/ops.ts';
import { Forward } from '../../worker/model/forward.ts';
import type { LocalModel } from '../../worker/model/local-model.ts';
import { ModelCache } from '../../worker/model/model-cache.ts';
import type { TaskContext } from '../../worker/tasks/task-context.ts';
import { TuningStates } from '../../worker/tuning/tuning-states.ts';
import { engineUnderTest } from './engine-under-test.ts';
import { roundingBinding, TF32_BITS } from './rounding-binding.ts';

let shared: Engine | undefined;

/** Kernels of tests that name none: ESPALIER_KERNELS, as for a worker. */
export function testKernels(): KernelsWanted {
  return (process.env.ESPALIER_KERNELS ?? 'auto') as KernelsWanted;
}

/** TensorFlow is loaded once a process. */
export function testContext(options: { stateBytes?: number; kernels?: KernelsWanted } = {}): TaskContext {
  shared ??= new Engine(testBinding(), testLibrary());
  const ops = new Ops(shared);
  // Whether kernels agree is judged in float32, as in a worker.
  roundProducts(false);
  const { kernels } = openKernels(ops, options.kernels ?? testKernels());
  roundProducts(true);
  const forward = new Forward(ops, kernels);
  return {
    engine: shared,
    ops,
    forward,
    models: new ModelCache(ops),
    states: new TuningStates(forward, options.stateBytes ?? 1e9),
    checkCancelled() {},
  };
}

let isRounding = false;

/** With TF32 under test every product has it, whatever a task asks for: what is within its tolerances then is so wherever
 * tasks use TF32. */
function roundProducts(isOn: boolean): void {
  const { device, products } = engineUnderTest();
  isRounding = isOn && products === 'tf32';
  if (device === 'cpu' || products === 'float32') return;
  const { library, problem } = loadOps();
  if (library === null) throw new Error(`TF32 needs the library of own operations: ${problem}`);
  library.allowTf32(isOn);
}

/** The binding of the engine under test. */
export function testBinding(): TensorflowBinding {
  const { device, products } = engineUnderTest();
  const binding = loadBinding();
  return device === 'cpu' && products === 'tf32'
    ? roundingBinding(binding, () => (isRounding ? TF32_BITS : null))
    : binding;
}

/** The own operations of the engine under test; `roundProducts` has their switch where TF32 is tested. */
function testLibrary(): OpsLibrary | null {
  const { library } = loadOps();
  return library && engineUnderTest().products === 'tf32' ? { ...library, allowTf32() {} } : library;
}

/** A model folder as a worker sees it. */
export async function localModel(folder: string): Promise<LocalModel> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.safetensors')).sort();
  return {
    configJson: readFileSync(path.join(folder, 'config.json'), 'utf8'),
    weights: files.map((name) => ({ digest: `test:${path.join(folder, name)}`, path: path.join(folder, name) })),
  };
}

const LIMITS: PlanLimits = { groupSize: 1, tokensPerBatch: 64, tokensPerShard: 64, leastShards: 1, heldOut: 0.25 };

export function testPlan(samples: readonly EncodedSample[], limits: Partial<PlanLimits> = {}): Plan {
  return makePlan(samples, { ...LIMITS, ...limits });
}
