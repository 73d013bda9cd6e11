// Rearrangement of made-up gradients. The engine of JavaScript compiles what has run for a while; interpreted, the first
// layers of a model of BERT-base's size would take longer than all others together.

import { layersOfFisher } from '../../pruning/fisher.ts';
import { randomStream } from '../../pruning/random.ts';
import { rearrangeLayer } from '../../pruning/rearrange.ts';

const HEADS = 12;
const VARIABLES = 1024;
/** No multiple of eight: what adds up the rest is compiled, too, and does not throw away what was when it first runs. */
const ROWS = 67;
const TIMES = 4;

/** Runs it until it is compiled: some hundredths of a second. */
export function compileRearrange(): void {
  const random = randomStream(0, 'compile-rearrange');
  const values = new Float32Array(ROWS * (HEADS + VARIABLES)); // [rows, variables]
  for (let i = 0; i < HEADS + VARIABLES; i++) {
    const scale = Math.exp((4 * i) / VARIABLES);
    const along = random.uniform() - 0.5;
    for (let row = 0; row < ROWS; row++)
      values[row * (HEADS + VARIABLES) + i] = scale * (random.uniform() - 0.5 + along * ((row % 5) - 2));
  }
  const fisher = layersOfFisher({ form: 'rows', rows: ROWS, values }, { layers: 1, heads: HEADS, neurons: VARIABLES });
  const half = (size: number) => new Uint8Array(size).map((_, i) => i % 2);
  for (let time = 0; time < TIMES; time++)
    rearrangeLayer(fisher, 0, { heads: half(HEADS), neurons: half(VARIABLES) }, undefined);
}
