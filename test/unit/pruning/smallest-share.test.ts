// Which shares are tried, on made-up losses.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mostTries, nextShare, sharesFrom, smallestPassing } from '../../../pruning/smallest-share.ts';

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
