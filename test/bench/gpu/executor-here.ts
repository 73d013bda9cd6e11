// An executor of tasks in this very thread: what is timed or counted must be called from here.
import type { BlobStore } from '../../../shared/blobs/blob-store.ts';
import type { DeviceClass, RunRequest } from '../../../shared/rpc/protocol.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import type { Engine } from '../../../worker/engine/engine.ts';
import type { Kernels } from '../../../worker/engine/kernels/kernels.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { STATE_SHARE } from '../../../worker/engine-memory.ts';
import { Forward } from '../../../worker/model/forward.ts';
import { ModelCache } from '../../../worker/model/model-cache.ts';
import { blobsOf } from '../../../worker/service/request-blobs.ts';
import type { TaskExecutor } from '../../../worker/task-executor.ts';
import { RequestRunner } from '../../../worker/tasks/read-request.ts';
import type { OnPart } from '../../../worker/tasks/task-context.ts';
import { TuningStates } from '../../../worker/tuning/tuning-states.ts';

/** @param kernels of this engine. Closed, it holds neither models nor hidden states. */
export function executorHere(engine: Engine, kernels: Kernels, blobs: BlobStore, memoryBytes: number): TaskExecutor {
  const ops = new Ops(engine);
  const forward = new Forward(ops, kernels);
  const models = new ModelCache(ops);
  const states = new TuningStates(forward, Math.floor(memoryBytes * STATE_SHARE));
  const runner = new RequestRunner({ engine, ops, forward, models, states, checkCancelled() {} });
  const { binding } = engine;
  const deviceClass: DeviceClass = {
    ...{
      kind: binding.isUsingGpuDevice() ? 'gpu' : 'cpu',
      tensorflowVersion: binding.TF_Version,
      kernels: kernels.kind,
    },
    ...{ model: 'profiled', intraOpThreads: 0, tf32: engine.allowsTf32, memoryGb: 0 },
  };
  return {
    run(request: RunRequest, _signal: AbortSignal, onPart?: OnPart): Promise<NamedTensor[]> {
      const digests = blobsOf(request).map(({ digest }) => digest);
      const paths = Object.fromEntries(digests.map((digest) => [digest, blobs.path(digest)]));
      return runner.run(request, paths, onPart);
    },
    describe: () => ({ deviceClass, memoryBytes }),
    models: () => models.digests(),
    async close() {
      states.clear();
      models.clear();
    },
  };
}
