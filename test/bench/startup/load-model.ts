// In a process of its own, since memory that an earlier load gave back would help: what a worker does from the name of a model's
// files to weights on the device.
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { Engine } from '../../../worker/engine/engine.ts';
import { Ops } from '../../../worker/engine/ops.ts';
import { setEngineEnvironment } from '../../../worker/engine-executor.ts';
import { loadWeights } from '../../../worker/model/encoder-weights.ts';
import { answerParent } from '../gpu/child.ts';

export interface LoadStart {
  readonly model: string;
  readonly device: 'auto' | 'cpu' | 'gpu';
}

export interface LoadFound {
  readonly seconds: number;
}

answerParent<LoadStart, LoadFound>(async ({ model, device }) => {
  setEngineEnvironment({ threads: 1, device });
  const ops = new Ops(new Engine());
  const start = performance.now();
  const checkpoint = await openCheckpoint(model);
  const { words } = ops.engine.scope(() => loadWeights(ops, checkpoint));
  // Reading a number back waits for all that the device was asked to do.
  const first = ops.engine.upload(Int32Array.of(0), [1]);
  ops.engine.downloadFloat32(ops.gather(words, first));
  return { seconds: (performance.now() - start) / 1000 };
});
