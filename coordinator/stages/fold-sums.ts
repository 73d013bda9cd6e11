// Sums of a sub-layer's normal equations, made by several workers, a share of the plan's tree each. Those of the worker that
// solves stay there; those of the others come here, are folded as far as the tree allows, and go to it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isWithin, type ShardSpan } from '../../pruning/fold-tree.ts';
import { joinNodes, shareTrees } from '../../pruning/tree-shares.ts';
import { type BlobSource, blobOfParts } from '../../shared/blobs/blob-source.ts';
import type { SumNode } from '../../shared/rpc/generated/espalier/v1/SumNode.ts';
import type { SumSource } from '../../shared/rpc/generated/espalier/v1/SumSource.ts';
import { safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { JobContext } from '../job/job-context.ts';
import type { MemoryShare } from '../job/memory-room.ts';
import { blobRef } from '../job/model-blobs.ts';
import type { TaskSpec } from '../workers/task-spec.ts';

/** Parts of a tree that are told apart at the most: a smaller one could be a part of what one gradients task has. */
const MOST_PARTS = 128;
/** Tasks of the worker that solves. */
export const SOLVE_AFFINITY = 'solve';

/** One kind of sums: how they travel, and how they are added. */
export interface SumKind<Sums> {
  /** @throws EspalierError "protocol" or "not_finite" for what is none. */
  read(tensors: ReadonlyMap<string, NamedTensor>): Sums;
  /** a + b, into the arrays of `a`. */
  add(a: Sums, b: Sums): Sums;
  write(sums: Sums): NamedTensor[];
}

export interface FoldedSums {
  /** Of each span. */
  readonly sources: SumSource[];
  readonly blobs: BlobSource[];
  /** Shards whose sums are with the worker that solves. */
  readonly stayed: readonly ShardSpan[];
  /** Memory that the blobs take; whoever asked for them releases it. */
  readonly share: MemoryShare | undefined;
}

/** A node whose sums one task makes. */
export interface NodeOfShare {
  readonly shards: ShardSpan;
  /** Its sums stay with the worker that solves. */
  readonly stays: boolean;
  readonly affinity: string;
}

/** Sums of the spans. @param spread workers that share the work, two at least. @param nodeBytes of one node's sums at the most.
 * @param task that sums a node. */
export async function foldedSums<Sums>(
  context: Pick<JobContext, 'workers' | 'signal' | 'mostSumBytes' | 'memory'>,
  options: {
    readonly spans: readonly ShardSpan[];
    readonly spread: number;
    readonly nodeBytes: number;
    readonly kind: SumKind<Sums>;
    readonly task: (node: NodeOfShare) => TaskSpec;
  },
): Promise<FoldedSums> {
  const { spans, nodeBytes, kind } = options;
  const { workers, signal } = context;
  const { nodes, share } = await shareWork(context, options);
  try {
    const results = await workers.runTasks(nodes.map(options.task), { signal });
    const came: { node: ShardSpan; sum: Sums }[] = [];
    for (const [i, result] of results.entries())
      if (!nodes[i].stays) came.push({ node: nodes[i].shards, sum: await inTurn(() => kind.read(result)) });
    const stayed = nodes.flatMap(({ shards, stays }) => (stays ? [shards] : []));
    const sources: SumSource[] = [];
    const blobs: BlobSource[] = [];
    for (const span of spans) {
      const joined = await joinNodes(span, came, (a, b) => inTurn(() => kind.add(a, b)));
      const own: SumNode[] = stayed.filter((shards) => isWithin(shards, span)).map((shards) => ({ shards }));
      for (const { node, sum } of joined) {
        const source = await inTurn(() => blobOfParts(safetensorsParts(kind.write(sum))));
        blobs.push(source);
        own.push({ shards: node, sums: blobRef(source) });
      }
      sources.push(sourceOf(own.sort((a, b) => a.shards!.first! - b.shards!.first!)));
    }
    share?.shrink(nodeBytes * blobs.length);
    return { sources, blobs, stayed, share };
  } catch (caught) {
    share?.release();
    throw caught;
  }
}

/** Cuts the work for as many workers as what travels between them finds memory here. */
async function shareWork(
  { mostSumBytes, memory, signal }: Pick<JobContext, 'signal' | 'mostSumBytes' | 'memory'>,
  { spans, spread, nodeBytes }: { spans: readonly ShardSpan[]; spread: number; nodeBytes: number },
): Promise<{ readonly nodes: readonly NodeOfShare[]; readonly share: MemoryShare | undefined }> {
  const nodesFor = (workers: number) => {
    const shares = shareTrees(spans, workers, MOST_PARTS);
    // The last of them has the shards that judge, and so the most nodes.
    return shares.flatMap((own, at) => {
      const stays = at === shares.length - 1;
      return own.map((shards) => ({ shards, stays, affinity: stays ? SOLVE_AFFINITY : `sums/${at}` }));
    });
  };
  const bytesOf = (nodes: readonly NodeOfShare[]) => nodeBytes * nodes.filter(({ stays }) => !stays).length;
  const least = bytesOf(nodesFor(2));
  const most = Math.max(least, Math.min(mostSumBytes, bytesOf(nodesFor(spread))));
  const share = await memory?.take({ least, most }, signal);
  let workers = spread;
  while (workers > 2 && bytesOf(nodesFor(workers)) > (share?.bytes ?? most)) workers -= 1;
  return { nodes: nodesFor(workers), share };
}

function sourceOf(nodes: SumNode[]): SumSource {
  if (nodes.length > 1) return { nodes: { nodes } };
  const [{ shards = null, sums }] = nodes;
  return sums ? { sums } : { shards };
}

/** Computes in a turn of the loop of its own: sums of a large sub-layer take a tenth of a second each. */
async function inTurn<T>(compute: () => T): Promise<T> {
  await nextTurn();
  return compute();
}
