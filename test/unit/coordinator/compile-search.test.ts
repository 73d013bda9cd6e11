// A search that runs before anybody waits for one: among all and among what remains, and only of models whose search takes long.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileSearch } from '../../../coordinator/stages/compile-search.ts';
import type { MaskSearch } from '../../../coordinator/stages/find-masks.ts';
import { denseMasks } from '../../../pruning/masks.ts';

test('searches a large model both ways, a small one not at all', () => {
  const asked: (readonly [number, number, boolean])[] = [];
  const search: MaskSearch = (_, { heads, neurons }, remaining) => {
    assert.ok([...heads, ...neurons].every((value) => value >= 0 && value < 1));
    asked.push([heads.length, neurons.length, remaining !== undefined]);
    return denseMasks(1, 1, 1);
  };
  compileSearch(search, { layers: 2, heads: 4, intermediateSize: 100 });
  assert.deepEqual(asked, []);
  compileSearch(search, { layers: 4, heads: 8, intermediateSize: 3072 });
  assert.deepEqual(
    asked,
    [false, true, false, true].map((isRemaining) => [32, 12_288, isRemaining]),
  );
});
