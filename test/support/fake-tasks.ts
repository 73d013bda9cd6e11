// Tasks for the fake executor.
import type { TaskSpec } from '../../coordinator/workers/task-spec.ts';
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import type { NamedTensor } from '../../shared/tensor.ts';

/** A Fisher task over the shard `index` that names `blobs` as the model's weights. */
export function shardTask(
  index: number,
  options: Partial<TaskSpec> & { blobs?: readonly BlobSource[] } = {},
): TaskSpec {
  const { blobs = [] } = options;
  const weights = blobs.map(({ digest, sizeBytes }) => ({ digest, sizeBytes }));
  const fisher = { model: { configJson: '{}', weights }, shards: { first: index, end: index + 1 } };
  return { id: `fisher/${index}`, request: { task: 'fisher', fisher }, deadlineMs: 10_000, ...options, blobs };
}

export function shardTasks(count: number, options: (index: number) => Partial<TaskSpec> = () => ({})): TaskSpec[] {
  return Array.from({ length: count }, (_, index) => shardTask(index, options(index)));
}

/** The one number of each result of `squareOfFirstShard`. */
export function squares(results: readonly Map<string, NamedTensor>[]): number[] {
  return results.map((result) => Number(result.get('square')?.data[0]));
}
