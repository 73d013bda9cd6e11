import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutTree, foldCut, foldTree, halvesOf, type ShardSpan, TreeFold } from '../../../pruning/fold-tree.ts';
import { randomStream } from '../../../pruning/random.ts';

const random = randomStream(6, 'fold');
// Sizes from 1e-8 to 1e8 of both signs: every order of adding gives other bits.
const leaves = new Float64Array(200).map(() => (random.uniform() - 0.5) * 10 ** (random.integer(17) - 8));
const leaf = (shard: number) => leaves[shard];
const add = (a: number, b: number) => a + b;
const show = (a: string, b: string) => `(${a}${b})`;

test('a range splits after the largest power of two below its length', () => {
  const shape = (first: number, end: number) => foldTree(first, end, (shard) => String.fromCharCode(97 + shard), show);
  assert.equal(shape(0, 1), 'a');
  assert.equal(shape(0, 2), '(ab)');
  assert.equal(shape(0, 3), '((ab)c)');
  assert.equal(shape(0, 4), '((ab)(cd))');
  assert.equal(shape(0, 7), '(((ab)(cd))((ef)g))');
  assert.equal(shape(3, 6), '((de)f)');
  assert.deepEqual(halvesOf({ first: 10, end: 15 }), [
    { first: 10, end: 14 },
    { first: 14, end: 15 },
  ]);
});

test('leaves that come in any order fold to the same bits', () => {
  for (let end = 1; end <= 67; end++) {
    const whole = foldTree(10, 10 + end, leaf, add);
    const order = Array.from({ length: end }, (_, i) => 10 + i);
    for (let tries = 0; tries < 5; tries++) {
      const fold = new TreeFold(10, 10 + end, add);
      const told = order.map((shard) => fold.take(shard, leaf(shard)));
      assert.equal(told.pop(), whole);
      assert.ok(told.every((sum) => sum === null));
      for (let i = end - 1; i > 0; i--) {
        const j = random.integer(i + 1);
        [order[i], order[j]] = [order[j], order[i]];
      }
    }
  }
});

test('every cut of the tree folds to the same bits as its leaves', () => {
  let unequal = 0;
  for (let end = 1; end <= 67; end++) {
    const whole = foldTree(0, end, leaf, add);
    for (let parts = 1; parts <= end + 1; parts++) {
      const nodes = cutTree(0, end, parts);
      assert.equal(nodes.length, Math.min(parts, end));
      const sums = nodes.map((node) => foldTree(node.first, node.end, leaf, add));
      assert.equal(foldCut(nodes, sums, add), whole, `${end} shards in ${parts}`);
    }
    if (leaves.subarray(0, end).reduce(add) !== whole) unequal++;
  }
  assert.ok(unequal > 30, 'control: adding from left to right gives other bits');
});

test('whole nodes that come in any order fold to the same bits; what is no node is refused', () => {
  for (let end = 1; end <= 67; end++)
    for (let parts = 1; parts <= end; parts += 3) {
      const nodes = cutTree(0, end, parts);
      for (let i = nodes.length - 1; i > 0; i--) {
        const j = random.integer(i + 1);
        [nodes[i], nodes[j]] = [nodes[j], nodes[i]];
      }
      const fold = new TreeFold(0, end, add);
      const told = nodes.map((node) => fold.take(node.first, foldTree(node.first, node.end, leaf, add), node.end));
      assert.equal(told.pop(), foldTree(0, end, leaf, add), `${end} shards in ${parts}`);
      assert.ok(told.every((sum) => sum === null));
    }
  for (const [first, end] of [
    [1, 3],
    [0, 3],
    [3, 5],
  ])
    assert.throws(() => new TreeFold(0, 5, add).take(first, 0, end), /no node of the tree/);
});

test('uneven cuts too, and ranges that do not start at 0', () => {
  const everyCut = (first: number, end: number): ShardSpan[][] => {
    const whole = [[{ first, end }]];
    if (end - first === 1) return whole;
    const [lefts, rights] = halvesOf({ first, end }).map((half) => everyCut(half.first, half.end));
    return [...whole, ...lefts.flatMap((left) => rights.map((right) => [...left, ...right]))];
  };
  for (const [first, end] of [
    [0, 11],
    [5, 14],
  ]) {
    const whole = foldTree(first, end, leaf, add);
    for (const nodes of everyCut(first, end))
      assert.equal(
        foldCut(
          nodes,
          nodes.map((node) => foldTree(node.first, node.end, leaf, add)),
          add,
        ),
        whole,
      );
  }
});

test('no shards, or nodes that are no cut, are refused', async () => {
  assert.throws(() => foldTree(2, 2, leaf, add), { code: 'internal' });
  assert.throws(() => foldTree(2, 1, leaf, add), { code: 'internal' });
  const cut = (spans: [number, number][]) => spans.map(([first, end]) => ({ first, end }));
  for (const spans of [
    [
      [0, 1],
      [1, 4],
    ],
    [
      [0, 2],
      [3, 4],
    ],
    [
      [0, 2],
      [2, 3],
      [3, 3],
    ],
    [],
  ] as [number, number][][])
    assert.throws(
      () =>
        foldCut(
          cut(spans),
          spans.map(() => 1),
          add,
        ),
      { code: 'internal' },
    );
  assert.throws(
    () =>
      foldCut(
        cut([
          [0, 2],
          [2, 4],
        ]),
        [1],
        add,
      ),
    { code: 'internal' },
  );
});
