// Bounds leave out scores that cannot win: against every score computed, on what gradients look like and on what is hard for
// bounds. Equal sets are asked for, not equal to within something.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomStream } from '../../../pruning/random.ts';
import { rearrangeGram, rearrangeRows } from '../../../pruning/rearrange.ts';
import { gramOfGradients } from '../../support/plain-grams.ts';
import { plainRearrange } from '../../support/plain-rearrange.ts';

const VARIABLES = 300;
const ROUNDS = 4;

const stream = randomStream(7, 'rearrange-random');
const uniform = () => (stream.integer(1 << 24) + 0.5) / (1 << 24);
const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());

/** Columns with log-normal lengths, of which a share lies in the span of a few common ones. */
function correlated(rows: number, factors: number, share: number, spread: number): () => Float64Array {
  const common = Array.from({ length: factors }, () => Array.from({ length: rows }, normal));
  return () => {
    const scale = 1e-3 * Math.exp(spread * normal());
    const weights = common.map(() => normal() * Math.sqrt(share / factors));
    return Float64Array.from({ length: rows }, (_, row) => {
      const along = weights.reduce((sum, weight, factor) => sum + weight * common[factor][row], 0);
      return scale * (along + Math.sqrt(1 - share) * normal());
    });
  };
}

/** What makes the columns, by index, of one round. */
const KINDS: Record<string, (rows: number) => (i: number) => Float64Array> = {
  'independent, lengths alike': (rows) => correlated(rows, 1, 0, 0.1),
  'independent, lengths spread': (rows) => correlated(rows, 1, 0, 1),
  'two directions in most of it': (rows) => correlated(rows, 2, 0.92, 1),
  'many directions in half of it': (rows) => correlated(rows, 12, 0.5, 0.8),
  'one direction, all one way': (rows) => {
    const column = correlated(rows, 2, 0.3, 0.7);
    return () => column().map((value) => value + 2e-3);
  },
  'nearly equal columns': (rows) => {
    const models = Array.from({ length: 20 }, correlated(rows, 3, 0.5, 0.5));
    return (i) => models[i % 20].map((value) => value * (1 + 1e-7 * normal()));
  },
  'equal columns': (rows) => {
    const models = Array.from({ length: 90 }, correlated(rows, 3, 0.5, 0.5));
    return (i) => models[i % 90].slice();
  },
  'a third zeros': (rows) => {
    const column = correlated(rows, 3, 0.5, 1);
    return (i) => (i % 3 === 0 ? new Float64Array(rows) : column());
  },
  'one row in two zeros': (rows) => {
    const column = correlated(rows, 3, 0.5, 1);
    return () => column().map((value) => (uniform() < 0.5 ? 0 : value));
  },
  'integers, ties exact': (rows) => () => Float64Array.from({ length: rows }, () => stream.integer(5) - 2),
  'signs, all lengths equal': (rows) => () => Float64Array.from({ length: rows }, () => 2 * stream.integer(2) - 1),
  'lengths from 1e-9 to 1e9': (rows) => {
    const column = correlated(rows, 2, 0.7, 0);
    return (i) => column().map((value) => value * 10 ** ((i % 19) - 9));
  },
};

for (const [name, kind] of Object.entries(KINDS))
  test(`rows and Gram give the set of every score computed: ${name}`, () => {
    for (let round = 0; round < ROUNDS; round++) {
      const rows = [64, 9, 20, 3][round];
      const column = kind(rows);
      const gradients = new Float32Array(VARIABLES * rows);
      for (let i = 0; i < VARIABLES; i++) gradients.set(column(i), i * rows);
      const packed = gramOfGradients(gradients, VARIABLES, rows);
      const full = unpacked(packed, VARIABLES);
      for (const pruned of [1, 40, 121, 180, 260, 299]) {
        const expected = plainRearrange(full, VARIABLES, pruned);
        const at = `${rows} rows, ${pruned} pruned`;
        assert.deepEqual(rearrangeRows(gradients, VARIABLES, rows, pruned), expected, `from rows, ${at}`);
        assert.deepEqual(rearrangeGram(packed, VARIABLES, pruned), expected, `from the Gram, ${at}`);
      }
    }
  });

test('control: the columns make the method exchange members, and a set of the least important would not do', () => {
  const rows = 64;
  const column = correlated(rows, 2, 0.92, 1);
  const gradients = Float32Array.from(Array.from({ length: VARIABLES }, () => [...column()]).flat());
  const packed = gramOfGradients(gradients, VARIABLES, rows);
  const full = unpacked(packed, VARIABLES);
  const square = (i: number) => full[i * VARIABLES + i];
  const least = Array.from({ length: VARIABLES }, (_, i) => i)
    .sort((a, b) => square(a) - square(b))
    .slice(0, 121);
  const mask = rearrangeRows(gradients, VARIABLES, rows, 121);
  assert.ok(least.filter((i) => mask[i] === 1).length >= 10);
});

function unpacked(packed: Float64Array, size: number): Float64Array {
  const full = new Float64Array(size * size);
  for (let i = 0, at = 0; i < size; i++)
    for (let j = i; j < size; j++, at++) {
      full[i * size + j] = packed[at];
      full[j * size + i] = packed[at];
    }
  return full;
}
