// A search of made-up importance. The engine of JavaScript compiles what has run for a while: the first search of a model of BERT-base's
// size takes ten times as long as later ones, and workers wait for it.
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Importance } from '../../pruning/fisher.ts';
import { denseMasks } from '../../pruning/masks.ts';
import { randomStream } from '../../pruning/random.ts';
import type { MaskSearch } from './find-masks.ts';

/** Of fewer neurons no search takes long. */
const LEAST_NEURONS = 10_000;
const SHARE = 0.5;
const TIMES = 2;

/** Searches until it is compiled: some hundredths of a second. */
export function compileSearch(
  search: MaskSearch,
  { layers, heads, intermediateSize: neurons }: Pick<ModelConfig, 'layers' | 'heads' | 'intermediateSize'>,
): void {
  if (layers * neurons < LEAST_NEURONS) return;
  const random = randomStream(0, 'compile-search');
  const values = (size: number) => new Float64Array(size).map(() => random.uniform());
  const importance: Importance = { heads: values(layers * heads), neurons: values(layers * neurons) };
  for (let time = 0; time < TIMES; time++) {
    search(SHARE, importance);
    search(SHARE, importance, denseMasks(layers, heads, neurons));
  }
}
