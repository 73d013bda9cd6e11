// Which drawn samples judge: a quarter, and nothing that the rest has seen.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { splitHeldOut } from '../../../coordinator/stages/held-out.ts';
import type { DrawnSample } from '../../../dataset/row-encoder.ts';
import { randomStream } from '../../../pruning/random.ts';

/** Rows in drawn order. @param contentOf what the model sees of a row. */
function drawnRows(rows: readonly number[], windows = (_row: number) => 1, contentOf = (row: number) => row) {
  return rows.flatMap((row, draw) =>
    Array.from({ length: windows(row) }, (_, window): DrawnSample => {
      const tokenIds = Int32Array.of(1, contentOf(row), window);
      const sample = { tokenIds, typeIds: new Uint8Array(3), target: Float32Array.of(row % 2) };
      return { sample, truncated: false, window: null, row, draw };
    }),
  );
}

const rowsOf = (samples: readonly DrawnSample[]) => new Set(samples.map(({ row }) => row));
const hundred = Array.from({ length: 100 }, (_, i) => i);
const SEED = { seed: 1, mayBeCut: false };

describe('splitHeldOut', () => {
  it('takes a quarter out, at random by seed, in drawn order', () => {
    const drawn = drawnRows(hundred);
    const { fitted, heldOut, examples } = splitHeldOut(drawn, SEED);
    assert.deepEqual([fitted.length, heldOut.length, examples], [75, 25, 25]);
    assert.deepEqual(
      [...rowsOf(fitted), ...rowsOf(heldOut)].sort((a, b) => a - b),
      hundred,
    );
    assert.deepEqual(
      [...rowsOf(heldOut)],
      [...rowsOf(heldOut)].sort((a, b) => a - b),
    );
    assert.deepEqual(splitHeldOut(drawn, SEED), { fitted, heldOut, examples });
    assert.notDeepEqual(rowsOf(splitHeldOut(drawn, { ...SEED, seed: 2 }).heldOut), rowsOf(heldOut));
  });

  it('keeps repeats of a row on one side, and judges by each once', () => {
    const random = randomStream(4, 'repeats');
    const drawn = drawnRows(Array.from({ length: 400 }, () => random.integer(120)));
    const { fitted, heldOut, examples } = splitHeldOut(drawn, SEED);
    const [left, right] = [rowsOf(fitted), rowsOf(heldOut)];
    assert.deepEqual(
      [...right].filter((row) => left.has(row)),
      [],
    );
    assert.equal(right.size, examples);
    assert.equal(heldOut.length, examples, 'no repeats');
    assert.equal(examples, Math.round(rowsOf(drawn).size / 4));
    assert.deepEqual(
      fitted,
      drawn.filter(({ row }) => left.has(row)),
      'with repeats',
    );
  });

  it('keeps the windows of a question together', () => {
    const windows = (row: number) => 1 + (row % 3);
    const { fitted, heldOut, examples } = splitHeldOut(drawnRows(hundred, windows), SEED);
    for (const side of [fitted, heldOut])
      for (const row of rowsOf(side)) assert.equal(side.filter((sample) => sample.row === row).length, windows(row));
    assert.equal(rowsOf(heldOut).size, examples);
    assert.equal(examples, 25);
  });

  it('keeps rows of the same text on one side', () => {
    const contentOf = (row: number) => row % 40;
    const { fitted, heldOut } = splitHeldOut(drawnRows(hundred, undefined, contentOf), SEED);
    const contents = (samples: readonly DrawnSample[]) => new Set([...rowsOf(samples)].map(contentOf));
    const seen = contents(fitted);
    assert.deepEqual(
      [...contents(heldOut)].filter((content) => seen.has(content)),
      [],
    );
    assert.ok(heldOut.length >= 23 && heldOut.length <= 25, `${heldOut.length}`);
  });

  it('lets nothing judge that may lack windows', () => {
    for (const seed of hundred) {
      const { heldOut } = splitHeldOut(drawnRows(hundred.slice(0, 64)), { seed, mayBeCut: true });
      assert.ok(!rowsOf(heldOut).has(63));
    }
  });

  it('refuses fewer than judge anything, however often they were drawn', () => {
    const few = Array.from({ length: 600 }, (_, i) => i % 60);
    assert.throws(() => splitHeldOut(drawnRows(few), SEED), {
      code: 'usage',
      message:
        'max-drop: got 60 distinct samples, of which 15 could judge, expected at least 64, a quarter of which judges',
      action: 'draw more with --samples, or give more data',
    });
  });
});
