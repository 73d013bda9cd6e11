// The knapsack search: how much each sub-layer keeps where costs are a table's. A multiple-choice knapsack: every
// sub-layer picks one count, its value is the summed importance of its most important heads or neurons, its cost the
// table's entry for that count. Solved by dynamic programming over a grid of the budget (Dudzinski and Walukiewicz 1987).
import { EspalierError } from '../shared/errors.ts';
import type { Importance } from './fisher.ts';
import { denseMasks, type Masks } from './masks.ts';
import { runningTotals } from './search.ts';
import { searchOrder } from './search-remaining.ts';
import { checkCosts, type LayerCounts, neuronChoices, type SubLayerCosts, totalCost } from './sub-layer-costs.ts';

export interface KnapsackProblem {
  readonly importance: Importance;
  readonly layers: number;
  readonly heads: number;
  readonly neurons: number;
  readonly costs: SubLayerCosts;
  /** What all sub-layers may cost together, in the unit of `costs`; never overrun. */
  readonly budget: number;
  /** Neurons are kept in multiples of this; none and all are choices too. */
  readonly neuronMultiple: number;
  /** What a model that is pruned already still has: no sub-layer keeps more, nor anything else, and the most important head
   * of each of its layers is guarded. Left out: everything may be kept or go. */
  readonly remaining?: Masks;
}

/** Cells of the grid. The budget above what the cheapest choices cost is cut into so many, and what a choice costs beyond
 * the cheapest of its sub-layer is rounded up to whole cells. Whatever costs at most the budget less a cell a sub-layer
 * still fits when it is rounded up: no less importance is kept than the best at that budget, which for the 24 sub-layers
 * of BERT-base is 0.59 % smaller. Four times as many cells take ten times as long there, and kept at most 2e-5 more. */
export const GRID_CELLS = 4096;

/** What one sub-layer may pick: `counts[i]` keeps `values[i]` for `costs[i]`; counts and values ascend. */
interface SubLayerChoices {
  /** Its variables that may be kept, as indices of the whole model, in the order in which they are. */
  readonly order: Int32Array;
  readonly counts: readonly number[];
  readonly values: Float64Array;
  readonly costs: Float64Array;
  /** Costs beyond the cheapest, rounded up. */
  readonly cells: Float64Array;
}

/** Counts of all sub-layers that keep most importance within the budget, none of a sub-layer where that is best; of each
 * sub-layer its most important ones. What rounding to the grid leaves of the budget goes to whatever then gains most
 * importance for its cost. Of equal totals the one that keeps more in the earlier sub-layers; among equally important
 * variables the lower index is kept first.
 *
 * Among what remains, an attention that has a guarded head keeps at least one, which is it. Where the cheapest choices with
 * all guards exceed the budget, the least important guards stand back, as few as make them fit.
 * @returns masks with all scales 1.
 * @throws EspalierError "budget_out_of_range" when the cheapest choices cost more, "shape_mismatch", "not_finite". */
export function knapsackMasks(problem: KnapsackProblem): Masks {
  const { layers, heads, neurons, costs, budget } = problem;
  checkSizes(problem);
  checkCosts(costs, { heads, neurons });
  const { least, subLayers } = cutToCells(fittingChoices(problem), costs, budget);
  if (!(least <= budget))
    throw new EspalierError('budget_out_of_range', `budget: got ${budget}, expected at least ${least}`);
  // Whatever fits the budget takes at most a cell a sub-layer more than the grid has. The best of that many cells often
  // fits as well; it is then the best there is.
  let cells = GRID_CELLS + subLayers.length;
  const picks = bestPicks(subLayers, cells);
  let chosen = readPicks(subLayers, picks, cells);
  while (cells > 0 && totalCost(costs, countsOf(subLayers, chosen)) > budget)
    chosen = readPicks(subLayers, picks, --cells);
  spendRest(subLayers, chosen, costs, budget);

  const masks = denseMasks(layers, heads, neurons);
  masks.headMask.fill(0);
  masks.neuronMask.fill(0);
  for (const [at, { order, counts }] of subLayers.entries()) {
    const mask = at % 2 === 0 ? masks.headMask : masks.neuronMask;
    for (const index of order.subarray(0, counts[chosen[at]])) mask[index] = 1;
  }
  return masks;
}

/** What the cheapest choices of all sub-layers cost: the smallest budget that `knapsackMasks` takes. */
export function leastCost({
  layers,
  heads,
  neurons,
  costs,
  neuronMultiple,
}: Omit<KnapsackProblem, 'importance' | 'budget'>): number {
  checkCosts(costs, { heads, neurons });
  const fewest = (table: Float64Array, choices: readonly number[]) =>
    choices.reduce((best, count) => (table[count] < table[best] ? count : best));
  const attention = fewest(costs.attention, [...costs.attention.keys()]);
  const ffn = fewest(costs.ffn, neuronChoices(neurons, neuronMultiple));
  return totalCost(costs, {
    headsByLayer: Array<number>(layers).fill(attention),
    neuronsByLayer: Array<number>(layers).fill(ffn),
  });
}

/** What each sub-layer may pick, with as many guards as the budget allows. */
function fittingChoices(problem: KnapsackProblem): Omit<SubLayerChoices, 'cells'>[] {
  const { importance, remaining, layers, heads, neurons, costs, budget, neuronMultiple } = problem;
  const order = searchOrder(importance, remaining);
  const inLayer = (all: Int32Array, layer: number, size: number) =>
    all.filter((index) => Math.floor(index / size) === layer);
  for (let guards = order.guarded; ; guards--) {
    const guarded = order.heads.subarray(0, guards);
    const subLayers = Array.from({ length: layers }, (_, layer) => {
      const least = inLayer(guarded, layer, heads).length;
      return [
        choices(importance.heads, inLayer(order.heads, layer, heads), neuronChoices(heads, 1), costs.attention, least),
        choices(
          importance.neurons,
          inLayer(order.neurons, layer, neurons),
          neuronChoices(neurons, neuronMultiple),
          costs.ffn,
          0,
        ),
      ];
    }).flat();
    if (guards === 0 || totalCost(costs, countsOf(subLayers, subLayers.map(cheapest))) <= budget) return subLayers;
  }
}

/** @param counts ascending, of the dense sub-layer; those beyond what remains, or below `least`, are no choices. */
function choices(
  importance: Float64Array,
  order: Int32Array,
  counts: readonly number[],
  table: Float64Array,
  least: number,
): Omit<SubLayerChoices, 'cells'> {
  const totals = runningTotals(importance, order);
  const open = counts.filter((count) => count >= least && count <= order.length);
  return {
    order,
    counts: open,
    values: Float64Array.from(open, (count) => totals[count]),
    costs: Float64Array.from(open, (count) => table[count]),
  };
}

function cheapest({ costs }: Pick<SubLayerChoices, 'costs'>): number {
  return costs.reduce((best, cost, at) => (cost < costs[best] ? at : best), 0);
}

function cutToCells(
  open: readonly Omit<SubLayerChoices, 'cells'>[],
  costs: SubLayerCosts,
  budget: number,
): { least: number; subLayers: SubLayerChoices[] } {
  const least = totalCost(costs, countsOf(open, open.map(cheapest)));
  const cell = (budget - least) / GRID_CELLS;
  const subLayers = open.map((own) => {
    const first = own.costs[cheapest(own)];
    return { ...own, cells: own.costs.map((cost) => cellsOf(cost - first, cell)) };
  });
  return { least, subLayers };
}

/** The least number of cells that holds a cost beyond the cheapest. */
function cellsOf(extra: number, cell: number): number {
  if (extra === 0) return 0;
  const cells = Math.ceil(extra / cell);
  return cells * cell < extra ? cells + 1 : cells;
}

/** Which choice each sub-layer makes when it and all later ones may take so many cells.
 * @returns [sub-layer][cells, 0 to `most`]. */
function bestPicks(subLayers: readonly SubLayerChoices[], most: number): Int32Array[] {
  const picks: Int32Array[] = [];
  let later = new Float64Array(most + 1); // most value of the sub-layers that come later, by cells
  for (const { values, cells } of [...subLayers].reverse()) {
    const best = new Float64Array(most + 1).fill(-1);
    const pick = new Int32Array(most + 1);
    for (const choice of worthwhile(cells, most)) {
      const value = values[choice];
      for (let left = 0, at = cells[choice]; at <= most; left++, at++) {
        const total = later[left] + value;
        // Choices come by rising count, so that the larger of equal ones stays.
        if (total >= best[at]) {
          best[at] = total;
          pick[at] = choice;
        }
      }
    }
    later = best;
    picks.push(pick);
  }
  return picks.reverse();
}

/** Choices that fit and that no larger count undercuts, by rising count. */
function worthwhile(cells: Float64Array, most: number): number[] {
  const found: number[] = [];
  let fewest = most + 1;
  for (let choice = cells.length - 1; choice >= 0; choice--) {
    if (cells[choice] >= fewest) continue;
    fewest = cells[choice];
    found.push(choice);
  }
  return found.reverse();
}

/** The choice of each sub-layer when all together may take so many cells. */
function readPicks(subLayers: readonly SubLayerChoices[], picks: readonly Int32Array[], most: number): number[] {
  let left = most;
  return subLayers.map(({ cells }, at) => {
    const choice = picks[at][left];
    left -= cells[choice];
    return choice;
  });
}

/** Raises choices while one fits what is left of the budget: the one that gains most value for its cost goes first, the
 * earlier sub-layer among equal ones, the smaller count in it. */
function spendRest(
  subLayers: readonly SubLayerChoices[],
  chosen: number[],
  costs: SubLayerCosts,
  budget: number,
): void {
  for (;;) {
    const rest = budget - totalCost(costs, countsOf(subLayers, chosen));
    const mostExtra = rest + 1e-9 * budget; // more than rounding hides; what passes is added up again
    let best = { at: -1, choice: 0, rate: -1 };
    for (const [at, { values, costs: own }] of subLayers.entries()) {
      const now = chosen[at];
      for (let choice = now + 1; choice < values.length; choice++) {
        const extra = own[choice] - own[now];
        const rate = extra > 0 ? (values[choice] - values[now]) / extra : Number.POSITIVE_INFINITY;
        if (extra > mostExtra || rate <= best.rate) continue;
        chosen[at] = choice;
        if (totalCost(costs, countsOf(subLayers, chosen)) <= budget) best = { at, choice, rate };
        chosen[at] = now;
      }
    }
    if (best.at < 0) return;
    chosen[best.at] = best.choice;
  }
}

function countsOf(subLayers: readonly Pick<SubLayerChoices, 'counts'>[], chosen: readonly number[]): LayerCounts {
  const count = (at: number) => subLayers[at].counts[chosen[at]];
  const layers = Array.from({ length: subLayers.length / 2 }, (_, layer) => layer);
  return {
    headsByLayer: layers.map((layer) => count(2 * layer)),
    neuronsByLayer: layers.map((layer) => count(2 * layer + 1)),
  };
}

function checkSizes({ importance, layers, heads, neurons, neuronMultiple }: KnapsackProblem): void {
  if (importance.heads.length !== layers * heads || importance.neurons.length !== layers * neurons)
    throw new EspalierError(
      'shape_mismatch',
      `importance: got ${importance.heads.length} heads and ${importance.neurons.length} neurons, ` +
        `expected ${layers * heads} and ${layers * neurons}`,
    );
  if (!(Number.isInteger(neuronMultiple) && neuronMultiple > 0))
    throw new EspalierError('internal', `neuron multiple: got ${neuronMultiple}, expected a whole number above 0`);
}
