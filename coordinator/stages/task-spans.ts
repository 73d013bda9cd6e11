// How many neighbouring shards a task of gradients computes. One is what several workers share best. A GPU has a shard done in a tenth
// of a second, and between two tasks it waits for the result's way to the host and for the next one's first operations: a
// worker that is alone gets several at once. Results do not depend on it.
import { cutTree, type ShardSpan } from '../../pruning/fold-tree.ts';
import type { Workers } from '../workers/workers.ts';

/** About a second of a small GPU; what is lost with a worker. */
const GPU_SHARDS = 4;

/** Nodes of the tree over some shards, left to right, one a task.
 * @param fits whether a task may have a node; one shard always may. */
export function taskSpans(
  { first, end }: ShardSpan,
  { count, deviceClass }: Pick<Workers, 'count' | 'deviceClass'>,
  fits: (node: ShardSpan) => boolean,
): ShardSpan[] {
  const most = count === 1 && deviceClass.kind === 'gpu' ? GPU_SHARDS : 1;
  for (let parts = Math.ceil((end - first) / most); ; parts++) {
    const nodes = cutTree(first, end, parts);
    if (parts >= end - first || nodes.every((node) => node.end - node.first <= most && fits(node))) return nodes;
  }
}
