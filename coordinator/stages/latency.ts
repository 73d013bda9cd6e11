// Measured speed: forward passes of the dense model and of each pruned one in turn, on one worker that does nothing else.
import { planTokens } from '../../dataset/plan.ts';
import type { Masks } from '../../pruning/masks.ts';
import { type JobContext, TASK_DEADLINE_MS } from '../job/job-context.ts';
import { maskSet } from '../job/mask-set.ts';
import { resultTensor } from '../job/result-tensor.ts';

export interface LatencyShape {
  readonly batchSize: number;
  readonly tokens: number;
  readonly repeats: number;
}

const BATCH_SIZE = 8;
const REPEATS = 15;

/** Measures with samples of the calibration samples' mean length.
 * @returns the shape of the batch, and median seconds: the dense model's first, then those of `students`. */
export async function latencyStage(
  context: JobContext,
  students: readonly Masks[],
): Promise<{ shape: LatencyShape; seconds: readonly number[] }> {
  const { plan } = context.calibration;
  const mean = Math.round(planTokens(plan) / plan.samples.length);
  const tokens = Math.max(1, Math.min(context.checkpoint.config.maxTokens, mean));
  const shape: LatencyShape = { batchSize: BATCH_SIZE, repeats: REPEATS, tokens };
  context.emit({ kind: 'stage-started', stage: 'latency', steps: 1 });
  const start = performance.now();
  const seconds = await medianLatency(context, students, shape);
  const stageSeconds = (performance.now() - start) / 1000;
  context.emit({ kind: 'stage-finished', stage: 'latency', seconds: stageSeconds, reused: false });
  return { shape, seconds };
}

/** Median seconds of a forward pass: the dense model's first, then those of `students`. */
async function medianLatency(context: JobContext, students: readonly Masks[], shape: LatencyShape): Promise<number[]> {
  const { workers, model, signal } = context;
  const empty = {
    headMask: Buffer.alloc(0),
    neuronMask: Buffer.alloc(0),
    headScales: Buffer.alloc(0),
    neuronScales: Buffer.alloc(0),
  };
  const request = {
    latency: {
      model: model.ref,
      students: [empty, ...students.map(maskSet)],
      ...shape,
    },
  };
  const [result] = await workers.runTasks(
    [{ id: 'latency', blobs: model.blobs, request, exclusive: true, deadlineMs: TASK_DEADLINE_MS }],
    { signal },
  );
  const length = (students.length + 1) * shape.repeats;
  const seconds = resultTensor(result, 'latency', 'seconds', { dtype: 'F64', length });
  return Array.from({ length: students.length + 1 }, (_, i) =>
    median(seconds.subarray(i * shape.repeats, (i + 1) * shape.repeats)),
  );
}

function median(values: Float64Array): number {
  const sorted = values.slice().sort();
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
