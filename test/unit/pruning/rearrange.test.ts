import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denseMasks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { rearrangeGram, rearrangeMasks, rearrangeRows } from '../../../pruning/rearrange.ts';
import { openVariables } from '../../../pruning/search-remaining.ts';
import { mergeGrams, mergeRows } from '../../support/merge-fisher.ts';
import { gramOfGradients, gramOfRows } from '../../support/plain-grams.ts';

/** The method as it reads: nothing kept up to date, every removal tried, |Σ|² from the rows. */
function plainRearrange(gradients: Float32Array, variables: number, rows: number, pruned: number): Uint8Array {
  const column = (i: number) => gradients.subarray(i * rows, (i + 1) * rows);
  const importance = Float64Array.from({ length: variables }, (_, i) => column(i).reduce((sum, g) => sum + g * g, 0));
  // Rising importance; among equals the search keeps the lower index, so the higher one is pruned first.
  const order = Int32Array.from(importance.keys()).sort((a, b) => importance[a] - importance[b] || b - a);
  let members = [...order.subarray(0, pruned)];
  for (const candidate of pruned === 0 ? [] : order.subarray(pruned)) {
    members.push(candidate);
    const scores = members.map((out) => {
      let squares = 0;
      for (let row = 0; row < rows; row++) {
        let sum = 0;
        for (const member of members) if (member !== out) sum += column(member)[row];
        squares += sum * sum;
      }
      return squares;
    });
    const best = Math.min(...scores);
    const out = Math.min(...members.filter((_, at) => scores[at] === best));
    members = members.filter((member) => member !== out);
  }
  const mask = new Uint8Array(variables).fill(1);
  for (const member of members) mask[member] = 0;
  return mask;
}

const random = randomStream(5, 'rearrange');
// Integers make every sum exact, so that ties are ties in both.
const DATA: Record<string, (variable: number, row: number) => number> = {
  random: () => random.uniform() - 0.5,
  'strongly correlated': (variable) => (variable % 7) - 3 + 0.01 * random.uniform(),
  'small integers, many ties': () => random.integer(3) - 1,
  'duplicates and opposites': (variable, row) => (variable % 2 === 0 ? 1 : -1) * (((row * 7) % 5) - 2),
  'columns of zeros': (variable) => (variable % 3 === 0 ? 0 : random.integer(5) - 2),
  'all zeros': () => 0,
  'sizes from 1e-12 to 1e12': (variable) => (random.uniform() - 0.5) * 10 ** ((variable % 25) - 12),
};

for (const [name, value] of Object.entries(DATA))
  test(`both forms give what the plain statement gives: ${name}`, () => {
    for (const [variables, rows] of [
      [1, 3],
      [2, 1],
      [12, 8],
      [40, 5],
    ]) {
      const gradients = Float32Array.from({ length: variables * rows }, (_, at) =>
        value(Math.floor(at / rows), at % rows),
      );
      const gram = gramOfGradients(gradients, variables, rows);
      for (let pruned = 0; pruned <= variables; pruned++) {
        const expected = plainRearrange(gradients, variables, rows, pruned);
        assert.equal(
          expected.reduce((sum, bit) => sum + bit, 0),
          variables - pruned,
        );
        assert.deepEqual(rearrangeRows(gradients, variables, rows, pruned), expected, `${variables} rows, ${pruned}`);
        assert.deepEqual(rearrangeGram(gram, variables, pruned), expected, `${variables} gram, ${pruned}`);
      }
    }
  });

test('identical columns are exchanged for the lowest index, in both forms, also with real numbers', () => {
  const rows = 9;
  const base = new Float32Array(8 * rows).map(() => random.uniform() - 0.5);
  const gradients = Float32Array.from({ length: 24 * rows }, (_, at) => base[at % base.length]);
  for (let pruned = 0; pruned <= 24; pruned++)
    assert.deepEqual(
      rearrangeRows(gradients, 24, rows, pruned),
      rearrangeGram(gramOfGradients(gradients, 24, rows), 24, pruned),
    );
});

test('a model: counts by layer stay, scales are 1, merged parts give the same', () => {
  const sizes = { layers: 2, heads: 3, neurons: 5 };
  const part = (rows: number) => ({
    form: 'rows' as const,
    rows,
    values: new Float32Array(rows * 16).map(() => random.uniform() - 0.5),
  });
  const [a, b] = [part(3), part(4)];
  const whole = mergeRows(a, b);
  const masks = denseMasks(2, 3, 5);
  masks.headMask.set([0, 1, 1, 0, 0, 0]);
  masks.neuronMask.set([0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  masks.headScales[1] = 3;
  const result = rearrangeMasks(whole, masks);
  const count = (mask: Uint8Array) => mask.reduce((sum, bit) => sum + bit, 0);
  assert.deepEqual([count(result.headMask.subarray(0, 3)), count(result.headMask.subarray(3))], [2, 0]);
  assert.deepEqual([count(result.neuronMask.subarray(0, 5)), count(result.neuronMask.subarray(5))], [3, 5]);
  assert.ok(result.headScales.every((scale) => scale === 1));
  assert.deepEqual(rearrangeMasks(mergeGrams(gramOfRows(a, sizes), gramOfRows(b, sizes)), masks), result);
  assert.throws(() => rearrangeMasks(part(3), denseMasks(2, 3, 6)), { code: 'shape_mismatch' });
});

test('among what may be exchanged: what the plain statement gives for that alone, in both forms; the rest stays', () => {
  const sizes = { layers: 2, heads: 6, neurons: 14 };
  const rows = 7;
  const width = sizes.layers * (sizes.heads + sizes.neurons);
  let exchanged = 0;
  for (let round = 0; round < 30; round++) {
    // Odd rounds have ties, and columns of zeros that may be kept.
    const values = new Float32Array(rows * width).map(() =>
      round % 2 === 0 ? random.uniform() - 0.5 : random.integer(3) - 1,
    );
    const open = denseMasks(sizes.layers, sizes.heads, sizes.neurons);
    const masks = denseMasks(sizes.layers, sizes.heads, sizes.neurons);
    for (const [mask, free] of [
      [masks.headMask, open.headMask],
      [masks.neuronMask, open.neuronMask],
    ])
      for (let at = 0; at < mask.length; at++) {
        mask[at] = random.integer(2);
        free[at] = Number(random.uniform() < 0.7);
      }
    // Layers where all may be exchanged, and where nothing may.
    if (round % 5 === 0) open.neuronMask.fill(1, 0, sizes.neurons);
    if (round % 7 === 0) open.neuronMask.fill(0, sizes.neurons);
    // What is gone has gradients of 0.
    for (let at = 0; at < values.length; at++) {
      const variable = at % width;
      const heads = sizes.layers * sizes.heads;
      const isOpen = variable < heads ? open.headMask[variable] : open.neuronMask[variable - heads];
      if (isOpen === 0) values[at] = 0;
    }
    const fisher = { form: 'rows' as const, rows, values };
    const found = rearrangeMasks(fisher, masks, open);
    const expected = (part: 'headMask' | 'neuronMask', first: number, size: number) =>
      Array.from({ length: sizes.layers }, (_, layer) => {
        const own = masks[part].slice(layer * size, (layer + 1) * size);
        const places = [...own.keys()].filter((at) => open[part][layer * size + at] === 1);
        const gradients = Float32Array.from({ length: places.length * rows }, (_, at) => {
          const place = places[Math.floor(at / rows)];
          return values[(at % rows) * width + first + layer * size + place];
        });
        const pruned = places.filter((place) => own[place] === 0).length;
        plainRearrange(gradients, places.length, rows, pruned).forEach((bit, at) => {
          own[places[at]] = bit;
        });
        return [...own];
      }).flat();
    assert.deepEqual([...found.headMask], expected('headMask', 0, sizes.heads), `round ${round}`);
    const neurons = expected('neuronMask', sizes.layers * sizes.heads, sizes.neurons);
    assert.deepEqual([...found.neuronMask], neurons, `round ${round}`);
    assert.deepEqual(rearrangeMasks(gramOfRows(fisher, sizes), masks, open), found, `round ${round}: Grams`);
    if (neurons.some((bit, at) => bit !== masks.neuronMask[at])) exchanged++;
  }
  assert.ok(exchanged > 10, `${exchanged} rounds exchanged neurons`);
  const all = denseMasks(2, 6, 14);
  const fisher = {
    form: 'rows' as const,
    rows,
    values: new Float32Array(rows * width).map(() => random.uniform() - 0.5),
  };
  const masks = { ...all, neuronMask: all.neuronMask.map((_, at) => at % 2) };
  assert.deepEqual(rearrangeMasks(fisher, masks, all), rearrangeMasks(fisher, masks));
});

test('a step exchanges what remains, but for the most important head that each layer still has', () => {
  const remaining = denseMasks(3, 3, 2);
  remaining.headMask.set([1, 1, 1, 0, 0, 0, 0, 1, 1]);
  remaining.neuronMask.set([1, 0, 1, 1, 0, 0]);
  const importance = { heads: Float64Array.of(5, 5, 6, 9, 9, 9, 9, 1, 1), neurons: new Float64Array(6) };
  const { headMask, neuronMask } = openVariables(importance, remaining);
  assert.deepEqual([...headMask], [1, 1, 0, 0, 0, 0, 0, 0, 1]);
  assert.deepEqual([...neuronMask], [1, 0, 1, 1, 0, 0]);
  assert.deepEqual([...remaining.headMask], [1, 1, 1, 0, 0, 0, 0, 1, 1], 'nothing is changed');
});
