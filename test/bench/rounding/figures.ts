// What rounding is judged by: how many heads and neurons are others than float32 keeps, what importance that loses, and the tuned
// score; beside each what another seed's draw does.
import type { Importance } from '../../../pruning/fisher.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { summary } from '../summary.ts';

/** Stored bits of what products multiply; null: float32. */
export type StoredBits = number | null;

/** Masks of one draw at one budget, found from gradients of this rounding, and their score after tuning. */
export interface RoundingRun {
  readonly model: string;
  readonly budget: number;
  readonly seed: number;
  readonly bits: StoredBits;
  readonly searched: Masks;
  readonly rearranged: Masks;
  /** Of float32 with this seed, whatever the rounding. */
  readonly importance: Importance;
  /** Score of 100 with float32 tuning, and where tuning's passes round, too. */
  readonly scores: { readonly gradients: number; readonly tuning: number };
}

/** Shares of what float32 keeps. */
export interface MaskDifference {
  readonly searched: { readonly heads: number; readonly neurons: number };
  readonly rearranged: { readonly heads: number; readonly neurons: number };
  /** Importance that the search's masks keep less; less than 0 where they keep more. */
  readonly importance: number;
}

/** One model at one budget, means over seeds; spreads are sample deviations. */
export interface RoundingCell {
  readonly model: string;
  readonly budget: number;
  readonly float32: { readonly mean: number; readonly deviation: number };
  /** Between the draws of two seeds, in float32. */
  readonly otherSeed: MaskDifference;
  readonly rounded: readonly {
    readonly bits: number;
    readonly masks: MaskDifference;
    readonly gradients: { readonly mean: number; readonly deviation: number };
    readonly tuning: { readonly mean: number; readonly deviation: number };
  }[];
}

/** Variables that one of both masks keeps and the other does not, half of them as a share of what the first keeps. */
export function shareChanged(from: Uint8Array, to: Uint8Array): number {
  let kept = 0;
  let changed = 0;
  from.forEach((bit, i) => {
    kept += bit;
    if (bit !== to[i]) changed += 1;
  });
  return kept === 0 ? 0 : changed / 2 / kept;
}

/** @param from float32's, by whose importance both are judged. */
export function maskDifference(from: RoundingRun, to: RoundingRun): MaskDifference {
  const changed = (stage: 'searched' | 'rearranged') => ({
    heads: shareChanged(from[stage].headMask, to[stage].headMask),
    neurons: shareChanged(from[stage].neuronMask, to[stage].neuronMask),
  });
  const before = keptImportance(from.searched, from.importance);
  const after = keptImportance(to.searched, from.importance);
  return { searched: changed('searched'), rearranged: changed('rearranged'), importance: 1 - after / before };
}

function keptImportance({ headMask, neuronMask }: Masks, { heads, neurons }: Importance): number {
  const sum = (mask: Uint8Array, values: Float64Array) =>
    values.reduce((total, value, i) => total + mask[i] * value, 0);
  return sum(headMask, heads) + sum(neuronMask, neurons);
}

/** @param runs of one model and budget, each seed with float32 and the same roundings. */
export function cellOf(runs: readonly RoundingRun[]): RoundingCell {
  const [{ model, budget }] = runs;
  const exact = runs.filter(({ bits }) => bits === null);
  const others = exact.flatMap((from) => exact.filter((to) => to !== from).map((to) => maskDifference(from, to)));
  const widths = [...new Set(runs.flatMap(({ bits }) => bits ?? []))].sort((a, b) => b - a);
  return {
    ...{ model, budget, float32: summary(exact.map(({ scores }) => scores.gradients)), otherSeed: mean(others) },
    rounded: widths.map((bits) => {
      const own = runs.filter((run) => run.bits === bits);
      const same = (run: RoundingRun) => exact.find(({ seed }) => seed === run.seed)!;
      return {
        ...{ bits, masks: mean(own.map((run) => maskDifference(same(run), run))) },
        gradients: summary(own.map(({ scores }) => scores.gradients)),
        tuning: summary(own.map(({ scores }) => scores.tuning)),
      };
    }),
  };
}

function mean(all: readonly MaskDifference[]): MaskDifference {
  const of = (part: (difference: MaskDifference) => number) => summary(all.map(part)).mean;
  return {
    searched: { heads: of((d) => d.searched.heads), neurons: of((d) => d.searched.neurons) },
    rearranged: { heads: of((d) => d.rearranged.heads), neurons: of((d) => d.rearranged.neurons) },
    importance: of((d) => d.importance),
  };
}

/** How many times as many of the masks' variables fewer bits may change as more bits do. */
const MOST_TIMES = 1.5;

/** Whether fewer stored bits may be offered beside more, which are: masks do not move where fewer change at most 1.5 times as many
 * of the rearranged masks' heads and neurons in each cell; quality does not where each mean tuned score is within the deviation of float32's seeds. */
export function judged(
  cells: readonly RoundingCell[],
  { fewer, more }: { readonly fewer: number; readonly more: number },
): { readonly masks: readonly string[]; readonly quality: readonly string[] } {
  const masks: string[] = [];
  const quality: string[] = [];
  for (const { model, budget, float32, rounded } of cells) {
    const [few, many] = [fewer, more].map((bits) => rounded.find((own) => own.bits === bits)!);
    for (const kind of ['heads', 'neurons'] as const)
      if (few.masks.rearranged[kind] > MOST_TIMES * many.masks.rearranged[kind])
        masks.push(`${model} ${budget} ${kind}`);
    for (const passes of ['gradients', 'tuning'] as const)
      if (Math.abs(few[passes].mean - float32.mean) > float32.deviation) quality.push(`${model} ${budget} ${passes}`);
  }
  return { masks, quality };
}

const percent = (share: number) => (100 * share).toFixed(2);
const pair = ({ heads, neurons }: { heads: number; neurons: number }) => `${percent(heads)} / ${percent(neurons)}`;
const score = ({ mean, deviation }: { mean: number; deviation: number }) =>
  `${mean.toFixed(2)} ± ${deviation.toFixed(2)}`;

/** Rows of a Markdown table. */
export function roundingTable(cells: readonly RoundingCell[]): string {
  const lines = [
    '| | products | search: heads / neurons % | rearranged: heads / neurons % | importance lost % | tuned | tuned in rounded passes |',
    '| --- | --- | --- | --- | --- | --- | --- |',
  ];
  for (const { model, budget, float32, otherSeed, rounded } of cells) {
    const row = (name: string, { searched, rearranged, importance }: MaskDifference, ...scores: string[]) =>
      lines.push(
        `| ${[`${model} ${budget}`, name, pair(searched), pair(rearranged), (100 * importance).toFixed(4), ...scores].join(' | ')} |`,
      );
    row('float32, another seed', otherSeed, score(float32), '');
    for (const { bits, masks, gradients, tuning } of rounded)
      row(`${bits} bits`, masks, score(gradients), score(tuning));
  }
  return `${lines.join('\n')}\n`;
}
