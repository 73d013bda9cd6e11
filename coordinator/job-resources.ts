// What the jobs of one coordinator share: the object store and its cache on disk, volumes, and bounds on what jobs do at
// the same time.
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { BlobStore } from '../shared/blobs/blob-store.ts';
import { ObjectCache } from '../shared/blobs/object-cache.ts';
import type { BusSettings, ObjectBucket } from '../shared/bus/bus.ts';
import { type LatencyCache, latencyCache } from './job/latency-cache.ts';
import { MemoryRoom } from './job/memory-room.ts';
import { ComputeThreads } from './threads/compute-threads.ts';

export interface JobResources {
  readonly objects: ObjectBucket;
  readonly blobs: BlobStore;
  /** Objects pulled into `blobs`. */
  readonly cache: ObjectCache;
  /** Models, by digest, that were seen to have no weight that is not finite. */
  readonly finiteModels: Set<string>;
  /** Latency tables of the machines whose workers measured some; each coordinator has its own. */
  readonly latencyTables: LatencyCache;
  /** Folders of the operator's by the name that jobs call them. */
  readonly volumes: ReadonlyMap<string, string>;
  /** For what jobs hold as a whole. */
  readonly memory: MemoryRoom;
  /** For what would hold up the loop. */
  readonly threads: ComputeThreads;
  /** For writing models, each a tensor at a time. */
  readonly writers: ComputeThreads;
  /** How threads reach the object store by themselves; null: what they write is stored afterwards. */
  readonly bus: BusSettings | null;
  /** For reading inputs: few, since the rows of a large file take hundreds of megabytes while they are drawn from. */
  readonly readers: ComputeThreads;
}

/** Four times a node's largest sums of BERT-base, or three layers that are rearranged. */
export const MEMORY_BYTES = 256e6;
const MOST_THREADS = 4;
const THREAD_HEAP_MEGABYTES = 1000;
const READERS = 2;
const READER_HEAP_MEGABYTES = 1500;

export interface JobResourcesOptions {
  readonly objects: ObjectBucket;
  readonly cacheDir: string;
  readonly cacheLimitBytes: number;
  readonly volumes: ReadonlyMap<string, string>;
  /** Of `objects`; left out: null. */
  readonly bus?: BusSettings;
}

/** One for each coordinator; its threads do not keep a process from ending. @throws EspalierError of BlobStore.open. */
export async function openJobResources(options: JobResourcesOptions): Promise<JobResources> {
  const { objects, volumes, bus = null } = options;
  const blobs = await BlobStore.open(options.cacheDir, { limitBytes: options.cacheLimitBytes });
  const count = Math.max(1, Math.min(MOST_THREADS, availableParallelism() - 1));
  const threads = new ComputeThreads({ count, heapMegabytes: THREAD_HEAP_MEGABYTES });
  const writers = new ComputeThreads({ count, heapMegabytes: THREAD_HEAP_MEGABYTES });
  const readers = new ComputeThreads({ count: READERS, heapMegabytes: READER_HEAP_MEGABYTES });
  const memory = new MemoryRoom(MEMORY_BYTES);
  const cache = new ObjectCache(objects, blobs);
  const latencyTables = latencyCache(path.join(options.cacheDir, 'latency-tables'));
  const finiteModels = new Set<string>();
  return { objects, bus, volumes, blobs, cache, finiteModels, latencyTables, memory, threads, writers, readers };
}
