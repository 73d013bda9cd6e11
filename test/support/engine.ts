// An engine in the test's own process, without gRPC, for tests of tasks.

import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { EncodedSample } from '../../dataset/encoded-sample.ts';
import { makePlan, type Plan, type PlanLimits } from '../../dataset/plan.ts';
import { Engine } from '../../worker/engine/engine.ts';
import type { KernelsWanted } from '../../worker/engine/kernels/kernels-wanted.ts';
import { openKernels } from '../../worker/engine/kernels/open-kernels.ts';
import { Ops } from '../../worker/engine/ops.ts';
import { Forward } from '../../worker/model/forward.ts';
import type { LocalModel } from '../../worker/model/local-model.ts';
import { ModelCache } from '../../worker/model/model-cache.ts';
import type { TaskContext } from '../../worker/tasks/task-context.ts';
import { TuningStates } from '../../worker/tuning/tuning-states.ts';

let shared: Engine | undefined;

/** Kernels of tests that name none: ESPALIER_KERNELS, as for a worker. */
export function testKernels(): KernelsWanted {
  return (process.env.ESPALIER_KERNELS ?? 'auto') as KernelsWanted;
}

/** TensorFlow is loaded once a process. */
export function testContext(options: { stateBytes?: number; kernels?: KernelsWanted } = {}): TaskContext {
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  process.env.TF_NUM_INTRAOP_THREADS ??= '1';
  shared ??= new Engine();
  const ops = new Ops(shared);
  const forward = new Forward(ops, openKernels(ops, options.kernels ?? testKernels()).kernels);
  return {
    engine: shared,
    ops,
    forward,
    models: new ModelCache(ops),
    states: new TuningStates(forward, options.stateBytes ?? 1e9),
    checkCancelled() {},
  };
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
