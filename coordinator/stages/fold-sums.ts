// Sums of a sub-layer's normal equations, made by several workers, a node of the plan's tree each, and folded here.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { cutTree, foldCutAsync, type ShardSpan } from '../../pruning/fold-tree.ts';
import { type BlobSource, blobOfParts } from '../../shared/blobs/blob-source.ts';
import type { SumSource } from '../../shared/rpc/generated/espalier/v1/SumSource.ts';
import { safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { JobContext } from '../job/job-context.ts';
import type { MemoryShare } from '../job/memory-room.ts';
import { blobRef } from '../job/model-blobs.ts';
import type { TaskSpec } from '../workers/task-spec.ts';

/** Nodes of the plan's tree that each worker gets of the fitted shards: more even the load, fewer save transfers. */
export const NODES_PER_WORKER = 2;

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
  /** Memory that the blobs take; whoever asked for them releases it. */
  readonly share: MemoryShare | undefined;
}

/** Sums of the spans. @param spread workers that share the work. @param nodeBytes of one node's sums at the most.
 * @param task that sums a node. */
export async function foldedSums<Sums>(
  context: Pick<JobContext, 'workers' | 'signal' | 'mostSumBytes' | 'memory'>,
  options: {
    readonly spans: readonly ShardSpan[];
    readonly spread: number;
    readonly nodeBytes: number;
    readonly kind: SumKind<Sums>;
    readonly task: (node: ShardSpan) => TaskSpec;
  },
): Promise<FoldedSums> {
  const { spans, spread, nodeBytes, kind } = options;
  const { workers, signal, mostSumBytes } = context;
  const least = nodeBytes * spans.length;
  const most = Math.min(mostSumBytes, least * spread * NODES_PER_WORKER);
  const share = await context.memory?.take({ least, most }, signal);
  try {
    const nodes = Math.max(1, Math.floor((share?.bytes ?? most) / least));
    const cuts = spans.map(({ first, end }) => cutTree(first, end, nodes));
    const results = await workers.runTasks(cuts.flat().map(options.task), { signal });
    const sources: SumSource[] = [];
    const blobs: BlobSource[] = [];
    for (const cut of cuts) {
      const sums: Sums[] = [];
      for (const result of results.splice(0, cut.length)) sums.push(await inTurn(() => kind.read(result)));
      const folded = await foldCutAsync(cut, sums, (a, b) => inTurn(() => kind.add(a, b)));
      const source = await inTurn(() => blobOfParts(safetensorsParts(kind.write(folded))));
      blobs.push(source);
      sources.push({ sums: blobRef(source) });
    }
    share?.shrink(least);
    return { sources, blobs, share };
  } catch (caught) {
    share?.release();
    throw caught;
  }
}

/** Computes in a turn of the loop of its own: sums of a large sub-layer take a tenth of a second each. */
async function inTurn<T>(compute: () => T): Promise<T> {
  await nextTurn();
  return compute();
}
