// Rearrangement of a job that has the machine for itself: layers do not depend on each other, so that each goes to a thread
// of its own. The threads start while samples are read, and have compiled what they run before gradients are computed, which
// they would hold up.
import { setMaxListeners } from 'node:events';
import { availableParallelism } from 'node:os';
import type { MaskSizes } from '../../pruning/fisher.ts';
import { joinedLayers, layerMasks } from '../../pruning/rearrange.ts';
import { rearrangeBytes, rearrangeFromFile } from '../job/fisher-file.ts';
import type { JobCompute } from '../job/job-context.ts';
import { inParallel } from '../jobs/in-parallel.ts';
import { ComputeThreads } from './compute-threads.ts';

/** Pairs of a layer's neurons, over all layers, from which threads take less time than they cost: a quarter of BERT-base's. */
const LEAST_PAIRS = 2.5e7;
const MOST_THREADS = 12;
const HEAP_MEGABYTES = 200;
/** What the layers that are computed at the same time may take together. */
const MOST_BYTES = 256e6;

/** `rearrangeFromFile`, wherever it is fast. */
export interface Rearrange extends Pick<JobCompute, 'rearrange'> {
  /** Ends the threads, if there are any. */
  close(): Promise<void>;
}

/** Starts threads where the model is large enough to need them. @param jobSignal ends what they compute. */
export function openRearrange(sizes: MaskSizes, jobSignal: AbortSignal, cores = availableParallelism()): Rearrange {
  const isSmall = sizes.layers * sizes.neurons ** 2 < LEAST_PAIRS;
  if (isSmall || cores === 1) return { rearrange: rearrangeFromFile, close: async () => {} };
  const count = Math.min(cores, sizes.layers, MOST_THREADS);
  // Every call listens, and Node warns of more than ten listeners.
  const signal = AbortSignal.any([jobSignal]);
  setMaxListeners(0, signal);
  const threads = new ComputeThreads({ count, heapMegabytes: HEAP_MEGABYTES });
  // What goes wrong here goes wrong again where somebody waits for it.
  const compiling = Promise.allSettled(
    Array.from({ length: count }, () => threads.run('compileRearrange', null, { signal })),
  );
  return {
    async rearrange(fisher, masks, open) {
      const { layers, heads, neurons } = masks;
      const sizes = { layers, heads, neurons };
      const layerBytes = await rearrangeBytes(fisher, sizes, open);
      const atOnce = Math.max(1, Math.min(count, Math.floor(MOST_BYTES / layerBytes)));
      const found = await inParallel(
        Array.from({ length: layers }, (_, layer) => layer),
        atOnce,
        (layer) => {
          const own = { masks: layerMasks(sizes, masks, layer), ...(open && { open: layerMasks(sizes, open, layer) }) };
          return threads.run('rearrangeLayer', { fisher, sizes, layer, ...own }, { signal });
        },
      );
      return joinedLayers(masks, found);
    },
    async close() {
      await compiling;
      await threads.close();
    },
  };
}
