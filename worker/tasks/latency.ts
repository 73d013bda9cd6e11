// Task "latency": measured forward passes of several models in turn, on a device that does nothing else meanwhile.
import type { Masks } from '../../pruning/masks.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { uploadBatch } from '../model/device-batch.ts';
import type { LocalModel } from '../model/model-cache.ts';
import { modelLogits } from './evaluate.ts';
import type { TaskContext } from './task-context.ts';

export interface LatencyInput {
  readonly model: LocalModel;
  /** null: the dense model. */
  readonly students: readonly (Masks | null)[];
  readonly batchSize: number;
  readonly tokens: number;
  readonly repeats: number;
}

/** @returns "seconds" F64 [students, repeats]; one pass of each before the first repeat is not counted. */
export async function runLatency(context: TaskContext, input: LatencyInput): Promise<NamedTensor[]> {
  const { engine, models } = context;
  const { batchSize, tokens, repeats, students } = input;
  const { config } = await models.dense(input.model);
  const sample = {
    tokenIds: Int32Array.from({ length: tokens }, (_, i) => (i * 7919) % config.vocabularySize),
    typeIds: new Uint8Array(tokens),
    target: new Float32Array(0),
  };
  const batch = { members: new Int32Array(batchSize), tokens };
  const seconds = new Float64Array(students.length * repeats);
  for (let repeat = -1; repeat < repeats; repeat++) {
    for (const [index, student] of students.entries()) {
      context.checkCancelled();
      const weights = student === null ? await models.dense(input.model) : await models.pruned(input.model, student);
      const start = performance.now();
      engine.scope(() =>
        engine.downloadFloat32(modelLogits(context, weights, uploadBatch(engine, [sample], batch, config))),
      );
      if (repeat >= 0) seconds[index * repeats + repeat] = (performance.now() - start) / 1000;
    }
  }
  return [{ name: 'seconds', dtype: 'F64', shape: [students.length, repeats], data: seconds }];
}
