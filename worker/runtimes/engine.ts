// Timed passes in the engine, as the other tasks compute them.
import { uploadBatch } from '../model/device-batch.ts';
import { cutPatches, uploadPatch } from '../model/device-patch.ts';
import {
  disposePruned,
  disposeWeights,
  type EncoderWeights,
  loadWeights,
  pruneWeights,
} from '../model/encoder-weights.ts';
import { type LocalModel, openLocalModel } from '../model/local-model.ts';
import { withProjections } from '../model/patched-weights.ts';
import { loadPatches, type StoredStudent } from '../model/student.ts';
import { modelLogits } from '../tasks/evaluate.ts';
import type { TaskContext } from '../tasks/task-context.ts';
import { type PassShape, passTokenIds, type Runtime, type TimedModel, type TimedSource } from './runtime.ts';

/** The engine of a worker's tasks. @param dense the model that masks are relative to: it stays the cache's. */
export function engineRuntime(context: TaskContext, dense: LocalModel): Runtime {
  const isGpu = context.engine.binding.isUsingGpuDevice();
  return {
    about: {
      name: 'engine',
      version: context.engine.binding.TF_Version,
      provider: isGpu ? 'gpu' : 'cpu',
      // One thread issues a GPU's operations.
      threads: isGpu ? 1 : Number(process.env.TF_NUM_INTRAOP_THREADS ?? 1),
    },
    open: (source, shape) => openTimed(context, dense, source, shape),
  };
}

async function openTimed(
  context: TaskContext,
  dense: LocalModel,
  { model, student }: TimedSource,
  { batchSize, tokens }: PassShape,
): Promise<TimedModel> {
  const { engine, ops, models } = context;
  const { weights, release } =
    student !== null
      ? await pruned(context, model, student)
      : model === dense
        ? { weights: await models.dense(model), release: () => {} }
        : await loaded(context, model);
  const { config } = weights;
  const ids = passTokenIds({ batchSize, tokens }, config);
  const samples = Array.from({ length: batchSize }, (_, i) => ({
    tokenIds: ids.subarray(i * tokens, (i + 1) * tokens),
    typeIds: new Uint8Array(tokens),
    target: new Float32Array(0),
  }));
  const batch = { members: Int32Array.from(samples.keys()), tokens };
  return {
    pass: async () =>
      engine.scope(() =>
        engine.downloadFloat32(modelLogits(context, weights, uploadBatch(ops, samples, batch, config))),
      ),
    close: async () => release(),
  };
}

// A form of its own: the cache keeps fewer models than are timed in turn.
async function pruned(
  { engine, ops, models }: TaskContext,
  model: LocalModel,
  student: StoredStudent,
): Promise<{ weights: EncoderWeights; release: () => void }> {
  const whole = await models.dense(model);
  const { masks } = student;
  const patches = await loadPatches(student);
  const { weights, biases } = engine.scope(() => {
    const { config } = whole;
    const stored = patches.map((patch) => uploadPatch(engine, patch, config));
    const projections = cutPatches(ops, config, stored, masks);
    // The scope releases what they stand in for.
    const weights = withProjections(pruneWeights(ops, whole, masks), projections);
    return { weights, biases: projections.flatMap((own) => (own.part === 'output' ? [own.bias] : [])) };
  });
  return {
    weights,
    release: () => {
      disposePruned(engine, weights);
      for (const bias of biases) engine.dispose(bias);
    },
  };
}

async function loaded(
  { engine, ops, checkCancelled }: TaskContext,
  model: LocalModel,
): Promise<{ weights: EncoderWeights; release: () => void }> {
  const checkpoint = await openLocalModel(model);
  try {
    const weights = engine.scope(() => loadWeights(ops, checkpoint, checkCancelled));
    return { weights, release: () => disposeWeights(engine, weights) };
  } finally {
    await checkpoint.close();
  }
}
