// Partial Fisher information joined in memory of its own: what the program's sums in place are compared with.
import type { FisherGrams, FisherRows } from '../../pruning/fisher.ts';

/** Rows of neighbouring shards, one after the other. */
export function mergeRows(a: FisherRows, b: FisherRows): FisherRows {
  const values = new Float32Array(a.values.length + b.values.length);
  values.set(a.values);
  values.set(b.values, a.values.length);
  return { form: 'rows', rows: a.rows + b.rows, values };
}

/** Grams add, element by element. */
export function mergeGrams(a: FisherGrams, b: FisherGrams): FisherGrams {
  const add = (left: readonly Float64Array[], right: readonly Float64Array[]) =>
    left.map((gram, layer) => gram.map((value, at) => value + right[layer]![at]!));
  return {
    form: 'gram',
    headGrams: add(a.headGrams, b.headGrams),
    neuronGrams: add(a.neuronGrams, b.neuronGrams),
  };
}
