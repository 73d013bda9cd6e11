// Measured speed: forward passes of the dense model and of each pruned one in turn, on one worker that does nothing else.
import type { Masks } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import { type JobContext, TASK_DEADLINE_MS } from '../job/job-context.ts';
import { maskSet } from '../job/mask-set.ts';

export interface LatencyShape {
  readonly batchSize: number;
  readonly tokens: number;
  readonly repeats: number;
}

/** Median seconds of a forward pass: the dense model's first, then those of `students`. */
export async function medianLatency(
  context: JobContext,
  students: readonly Masks[],
  shape: LatencyShape,
): Promise<number[]> {
  const { workers, model, signal } = context;
  const empty = {
    headMask: Buffer.alloc(0),
    neuronMask: Buffer.alloc(0),
    headScales: Buffer.alloc(0),
    neuronScales: Buffer.alloc(0),
  };
  const request = {
    latency: {
      model: { ...model.ref, weights: [...model.ref.weights] },
      students: [empty, ...students.map(maskSet)],
      ...shape,
    },
  };
  const [result] = await workers.runTasks(
    [{ id: 'latency', blobs: model.blobs, request, exclusive: true, deadlineMs: TASK_DEADLINE_MS }],
    { signal },
  );
  const seconds = result.get('seconds')?.data;
  if (!(seconds instanceof Float64Array) || seconds.length !== (students.length + 1) * shape.repeats)
    throw new EspalierError(
      'protocol',
      `latency: got ${seconds?.length ?? 0} figures, expected ${(students.length + 1) * shape.repeats}`,
    );
  return Array.from({ length: students.length + 1 }, (_, i) =>
    median(seconds.subarray(i * shape.repeats, (i + 1) * shape.repeats)),
  );
}

function median(values: Float64Array): number {
  const sorted = values.slice().sort();
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
