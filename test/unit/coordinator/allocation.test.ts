// Which workers are whose home.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocateHomes, type HomeJob, type HomeWorker } from '../../../coordinator/workers/allocation.ts';

const workers = (count: number): HomeWorker[] => Array.from({ length: count }, (_, i) => worker(`w${i}`));

const worker = (id: string, more: Partial<HomeWorker> = {}): HomeWorker => ({
  ...{ id, models: new Set<string>(), others: 0, mustYield: false, ...more },
});

const job = (id: string, more: Partial<HomeJob> = {}): HomeJob => ({ id, priority: 0, models: [], home: [], ...more });

const jobs = (count: number): HomeJob[] => Array.from({ length: count }, (_, i) => job(`j${i}`));

/** The same jobs with the homes that they were given. */
const settled = (list: readonly HomeJob[], homes: Map<string, string[]>) =>
  list.map((one) => ({ ...one, home: homes.get(one.id) ?? [] }));

function loads(homes: Map<string, string[]>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const id of [...homes.values()].flat()) counts[id] = (counts[id] ?? 0) + 1;
  return counts;
}

function moved(before: Map<string, string[]>, after: Map<string, string[]>): number {
  return [...after].filter(([id, home]) => home.some((worker) => !before.get(id)?.includes(worker))).length;
}

test('one job has all workers', () => {
  assert.deepEqual(allocateHomes(workers(3), [job('a')]).get('a'), ['w0', 'w1', 'w2']);
});

test('without workers nobody has a home; without jobs there is nothing to say', () => {
  assert.deepEqual(allocateHomes([], jobs(2)).get('j1'), []);
  assert.equal(allocateHomes(workers(2), []).size, 0);
});

test('more workers than jobs are spread evenly, and every worker has one job', () => {
  for (const [workerCount, jobCount] of [
    [7, 3],
    [64, 5],
    [4, 3],
  ]) {
    const homes = allocateHomes(workers(workerCount), jobs(jobCount));
    const sizes = [...homes.values()].map(({ length }) => length);
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      workerCount,
    );
    assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
    assert.ok(Object.values(loads(homes)).every((count) => count === 1));
  }
});

test('what does not divide goes to the higher priority', () => {
  const homes = allocateHomes(workers(3), [job('low'), job('high', { priority: 5 })]);
  assert.equal(homes.get('high')?.length, 2);
  assert.equal(homes.get('low')?.length, 1);
});

test('with at least as many jobs as workers each job has one worker, evenly', () => {
  for (const [workerCount, jobCount] of [
    [4, 4],
    [64, 200],
    [3, 10],
  ]) {
    const homes = allocateHomes(workers(workerCount), jobs(jobCount));
    assert.ok([...homes.values()].every(({ length }) => length === 1));
    const counts = Object.values(loads(homes));
    assert.equal(counts.length, workerCount);
    assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
  }
});

test('asked again, nothing moves', () => {
  for (const [workerCount, jobCount] of [
    [10, 3],
    [10, 33],
  ]) {
    const all = jobs(jobCount);
    const homes = allocateHomes(workers(workerCount), all);
    assert.deepEqual(allocateHomes(workers(workerCount), settled(all, homes)), homes);
  }
});

test('a job that ends leaves the others where they are, as far as they stay even', () => {
  const all = jobs(200);
  const before = allocateHomes(workers(64), all);
  const left = settled(all, before).filter(({ id }) => id !== 'j17');
  const after = allocateHomes(workers(64), left);
  assert.ok(moved(before, after) <= 1);
});

test('a worker that joins takes from each only what evens out', () => {
  const all = jobs(3);
  const before = allocateHomes(workers(6), all);
  const after = allocateHomes(workers(7), settled(all, before));
  assert.equal(moved(before, after), 1, 'only the job that gets the new one changes');
  for (const [id, home] of before) assert.deepEqual(after.get(id)?.slice(0, 2), home);
});

test('when jobs come to outnumber the workers, each keeps one of those that it had', () => {
  const first = jobs(2);
  const before = allocateHomes(workers(4), first);
  const after = allocateHomes(workers(4), [...settled(first, before), job('x'), job('y')]);
  for (const { id } of first) assert.ok(before.get(id)?.includes(after.get(id)?.[0] ?? ''));
  assert.equal(Object.keys(loads(after)).length, 4);
});

test('a worker that holds the model is preferred, not at the price of balance', () => {
  const list = workers(4).map((worker, i) => ({ ...worker, models: new Set(i === 2 ? ['m'] : []) }));
  assert.deepEqual(allocateHomes(list, [job('a'), job('b', { models: ['m'] }), job('c'), job('d')]).get('b'), ['w2']);
  const same = Array.from({ length: 4 }, (_, i) => job(`j${i}`, { models: ['m'] }));
  assert.equal(Object.keys(loads(allocateHomes(list, same))).length, 4);
});

test('workers that are gone are replaced', () => {
  const homes = allocateHomes(workers(2), [job('a', { home: ['gone', 'w1'] }), job('b', { home: ['gone'] })]);
  assert.deepEqual(homes.get('a'), ['w1']);
  assert.deepEqual(homes.get('b'), ['w0']);
});

test('jobs of other coordinators count: new jobs go where there is least', () => {
  const list = [0, 1, 2, 0].map((others, i) => worker(`w${i}`, { others }));
  const homes = allocateHomes(list, jobs(3), 3);
  assert.deepEqual(loads(homes), { w0: 2, w3: 1 });
  assert.deepEqual(loads(allocateHomes(list, jobs(5), 3)), { w0: 2, w1: 1, w3: 2 });
});

test('two coordinators that tell each other of their jobs share the workers evenly, and then nothing moves', () => {
  for (const [first, second] of [
    [1, 1],
    [2, 1],
    [8, 8],
    [3, 40],
    [50, 30],
  ]) {
    const names = Array.from({ length: 16 }, (_, i) => `w${i}`);
    const sides = [
      { list: jobs(first), homes: new Map<string, string[]>(), names },
      { list: jobs(second), homes: new Map<string, string[]>(), names: names.toReversed() },
    ];
    let before = '';
    let rounds = 0;
    // Both look at the same moment, each with what the other had then.
    for (; rounds < 20; rounds += 1) {
      const told = sides.map(({ homes }) => loads(homes));
      sides.forEach((side, index) => {
        const others = told[1 - index];
        const seen = side.names.map((id) =>
          worker(id, { others: others[id] ?? 0, mustYield: index === 1 && (others[id] ?? 0) > 0 }),
        );
        const heard = rounds > 0 ? sides[1 - index].list.length : 0;
        side.homes = allocateHomes(seen, settled(side.list, side.homes), heard);
      });
      const now = JSON.stringify(sides.map(({ homes }) => [...homes]));
      if (now === before) break;
      before = now;
    }
    assert.ok(rounds < 20, `${first} and ${second} jobs: homes still move after ${rounds} rounds`);
    const [a, b] = sides.map(({ homes }) => loads(homes));
    const sums = names.map((id) => (a[id] ?? 0) + (b[id] ?? 0));
    const spread = Math.max(...sums) - Math.min(...sums);
    assert.ok(spread <= 2, `${first} and ${second} jobs: a worker has ${Math.max(...sums)}, one ${Math.min(...sums)}`);
    if (first + second <= 16) assert.equal(Math.max(...sums), 1, `${first} and ${second} jobs: a worker is shared`);
  }
});
