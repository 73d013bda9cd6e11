// Which pruned models a latency table is measured from, and what their times make of it. Whole models are timed, all layers
// cut alike: what a sub-layer takes alone, without what runs before and after it in the caches, is another time.
import type { LatencySetup, LatencyTable } from '../../pruning/latency-table.ts';
import { denseMasks, type Masks } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import { neuronUnit } from './neuron-unit.ts';

/** Every layer keeps so many heads and neurons. */
export interface ProfilePoint {
  readonly heads: number;
  readonly neurons: number;
}

/** About so many steps of neurons are measured; between them time is taken to be linear. */
const NEURON_STEPS = 16;

/** Counts of neurons to measure: 0, all, and multiples of a step that vector and tile sizes divide. */
export function neuronGrid(neurons: number): number[] {
  const unit = neuronUnit(neurons);
  const step = Math.ceil(neurons / NEURON_STEPS / unit) * unit;
  const grid: number[] = [];
  for (let count = 0; count < neurons; count += step) grid.push(count);
  return [...grid, neurons];
}

/** What to time beside the dense model: each count of heads with all neurons, each of the grid's with all heads, and a model
 * without either. */
export function profilePoints({ heads, intermediateSize }: LatencySetup['model']): ProfilePoint[] {
  const byHeads = Array.from({ length: heads }, (_, count) => ({ heads: count, neurons: intermediateSize }));
  const byNeurons = neuronGrid(intermediateSize).slice(0, -1);
  return [{ heads: 0, neurons: 0 }, ...byHeads, ...byNeurons.map((neurons) => ({ heads, neurons }))];
}

/** The first heads and neurons of every layer: which ones are kept changes no time. */
export function pointMasks({ heads, neurons }: ProfilePoint, model: LatencySetup['model']): Masks {
  const masks = denseMasks(model.layers, model.heads, model.intermediateSize);
  for (let layer = 0; layer < model.layers; layer++) {
    masks.headMask.fill(0, layer * model.heads + heads, (layer + 1) * model.heads);
    masks.neuronMask.fill(0, layer * model.intermediateSize + neurons, (layer + 1) * model.intermediateSize);
  }
  return masks;
}

/** A table from the seconds of whole models. With T(h, n) for layers of h heads and n neurons, an attention of h heads takes
 * (T(h, I) − T(0, I)) / L and an FFN of n neurons (T(H, n) − T(H, 0)) / L, both times one factor that makes the table exact
 * for the dense model and for the one without heads and neurons, whose time is the rest. A time below that of none counts
 * as none. @param secondsOf of a point that was timed, or of the dense model.
 * @returns the table, how many times counted as none, and the factor: 1 where times add up.
 * @throws EspalierError "latency_table" where the dense model was no slower than the one without heads and neurons. */
export function tableOf(
  setup: LatencySetup,
  secondsOf: (point: ProfilePoint) => number,
): { readonly table: LatencyTable; readonly raised: number; readonly factor: number } {
  const { layers, heads, intermediateSize: neurons } = setup.model;
  const rest = secondsOf({ heads: 0, neurons: 0 });
  const dense = secondsOf({ heads, neurons });
  const attention = dense - secondsOf({ heads: 0, neurons });
  const ffn = dense - secondsOf({ heads, neurons: 0 });
  if (!(dense > rest && attention > 0 && ffn > 0))
    throw new EspalierError(
      'latency_table',
      `got ${dense} s for the dense model, ${dense - attention} s without heads, ${dense - ffn} s without neurons and ${rest} s without both, expected it to be the slowest`,
      { action: 'measure again on a machine that does nothing else, or with a larger batch' },
    );
  const factor = (dense - rest) / (attention + ffn);
  let raised = 0;
  const perLayer = (point: ProfilePoint, without: number) => {
    const seconds = secondsOf(point) - without;
    if (seconds < 0) raised += 1;
    return (Math.max(0, seconds) * factor) / layers;
  };
  const table: LatencyTable = {
    schema: 1,
    ...setup,
    attentionSeconds: Array.from({ length: heads + 1 }, (_, count) =>
      perLayer({ heads: count, neurons }, dense - attention),
    ),
    ffnSeconds: neuronGrid(neurons).map((count) => ({
      neurons: count,
      seconds: perLayer({ heads, neurons: count }, dense - ffn),
    })),
    restSeconds: rest,
  };
  return { table, raised, factor };
}
