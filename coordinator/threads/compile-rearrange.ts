// Rearrangement of made-up gradients. The engine of JavaScript compiles what has run for a while; interpreted, the first
// layers of a model of BERT-base's size would take longer than all others together.
import { randomStream } from '../../pruning/random.ts';
import { rearrangeRows } from '../../pruning/rearrange.ts';

const VARIABLES = 1024;
const ROWS = 64;
const TIMES = 2;

/** Runs it until it is compiled: some hundredths of a second. */
export function compileRearrange(): void {
  const random = randomStream(0, 'compile-rearrange');
  const gradients = new Float64Array(VARIABLES * ROWS);
  for (let i = 0; i < VARIABLES; i++) {
    const scale = Math.exp((4 * i) / VARIABLES);
    const along = random.uniform() - 0.5;
    for (let row = 0; row < ROWS; row++)
      gradients[i * ROWS + row] = scale * (random.uniform() - 0.5 + along * ((row % 5) - 2));
  }
  for (let time = 0; time < TIMES; time++) rearrangeRows(gradients, VARIABLES, ROWS, VARIABLES / 4);
}
