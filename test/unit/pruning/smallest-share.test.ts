// Which shares are tried, on made-up losses.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  bisectionOrder,
  MOST_BETWEEN,
  mostTries,
  nextShare,
  sharesFrom,
  smallestPassing,
  walkOrder,
} from '../../../pruning/smallest-share.ts';

const SHARES = sharesFrom(0);

/** Tries until there is nothing left to try. @returns the shares in order, and the smallest that passed. */
function find(passes: (share: number) => boolean, known: Iterable<[number, boolean]> = [], shares = SHARES) {
  const passed = new Map(known);
  const tried: number[] = [];
  for (let share = nextShare(shares, passed); share !== null; share = nextShare(shares, passed)) {
    assert.ok(!passed.has(share), `${share} is tried once`);
    tried.push(share);
    passed.set(share, passes(share));
  }
  return { tried, found: smallestPassing(passed) };
}

describe('nextShare', () => {
  it('finds every threshold of a loss that falls with the share, in seven tries', () => {
    assert.equal(mostTries(SHARES), 7);
    for (const threshold of SHARES) {
      const { tried, found } = find((share) => share >= threshold);
      assert.equal(found, threshold);
      assert.ok(tried.length <= 7);
    }
  });

  it('ends at the smallest where all pass', () => {
    assert.equal(find(() => true).found, 0.01);
    assert.equal(find(() => true, [], sharesFrom(0.034)).found, 0.04);
  });

  it('has tried the largest where none passes', () => {
    const { tried, found } = find(() => false);
    assert.equal(found, null);
    assert.deepEqual(tried, [0.5, 0.75, 0.87, 0.93, 0.96, 0.98, 0.99]);
  });

  it('gives one that passes where less sometimes loses less', () => {
    const passing = new Set([0.12, 0.3, 0.31, 0.5, 0.62, 0.9]);
    const { found } = find((share) => passing.has(share));
    assert.ok(found !== null && passing.has(found));
  });

  it('goes on below the smallest that is known to pass, whatever failed above it', () => {
    const known: [number, boolean][] = [
      [0.2, false],
      [0.3, true],
      [0.5, false],
      [0.75, true],
    ];
    const { tried, found } = find((share) => share >= 0.26, known);
    assert.equal(found, 0.26);
    assert.ok(tried.every((share) => share > 0.2 && share < 0.3));
  });

  it('seeks above one that has been found not to do after all', () => {
    const { found } = find(
      (share) => share >= 0.42,
      [
        [0.4, false],
        [0.41, false],
        [0.5, true],
      ],
    );
    assert.equal(found, 0.42);
  });

  it('has one thing to try where there is one share, and nothing where there is none', () => {
    assert.deepEqual(
      find(() => false, [], [0.99]),
      { tried: [0.99], found: null },
    );
    assert.deepEqual(
      find(() => true, [], []),
      { tried: [], found: null },
    );
  });
});

describe('walkOrder', () => {
  const GRID = [0.8, 0.65, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.16, 0.128];

  function walk(passes: (share: number) => boolean, grid: readonly number[] = GRID) {
    const order = walkOrder(grid);
    const passed = new Map<number, boolean>();
    const tried: number[] = [];
    for (let share = order.next(passed); share !== null; share = order.next(passed)) {
      assert.ok(!passed.has(share), `${share} is tried once`);
      tried.push(share);
      passed.set(share, passes(share));
    }
    return { tried, found: smallestPassing(passed) };
  }

  it('goes down to the first that does not pass, for every threshold, and tries nothing below it', () => {
    for (const threshold of SHARES) {
      const { tried, found } = walk((share) => share >= threshold);
      const stop = GRID.findIndex((share) => share < threshold);
      const walked = stop < 0 ? GRID : GRID.slice(0, stop + 1);
      assert.deepEqual(tried.slice(0, walked.length), walked);
      const between = tried.slice(walked.length);
      assert.ok(between.length <= MOST_BETWEEN);
      const [above, below] = [GRID[stop - 1] ?? 1, stop < 0 ? GRID.at(-1)! : GRID[stop]];
      for (const share of between) assert.ok(share > below && share < above && sharesFrom(share)[0] === share);
      if (threshold > 0.95) assert.equal(found, null);
      else if (stop < 0) assert.equal(found, below);
      // A quarter of the gap, rounded to hundredths.
      else
        assert.ok(found! >= threshold && found! - threshold <= (above - below) / 4 + 0.01, `${found} of ${threshold}`);
    }
  });

  it('stops at the first that does not pass, though smaller ones would', () => {
    const { tried, found } = walk((share) => share !== 0.4 && share !== 0.45);
    assert.deepEqual([tried, found], [[0.8, 0.65, 0.5, 0.4, 0.45, 0.47], 0.47]);
  });

  it('tries nothing between shares that are neighbours', () => {
    const { tried } = walk((share) => share >= 0.05, [0.05, 0.04]);
    assert.deepEqual(tried, [0.05, 0.04]);
  });

  it('has nothing to try where the walk is empty', () => {
    assert.deepEqual(
      walk(() => true, []),
      { tried: [], found: null },
    );
  });

  it('shares errors among fewer parts than bisection does', () => {
    assert.deepEqual([walkOrder(GRID).errorParts, bisectionOrder(SHARES).errorParts], [3, 7]);
  });
});
