// Shares of the plan's trees: all shards once, in nodes of the trees, few of them and about equally many shards each; and sums of
// nodes that are joined as far as they reach fold to the bits of the whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutTree, foldCut, foldTree, type ShardSpan } from '../../../pruning/fold-tree.ts';
import { joinNodes, shareTrees } from '../../../pruning/tree-shares.ts';

const leaf = (shard: number) => 1 / (shard + 1);
const add = (a: number, b: number) => a + b;
const sumOf = ({ first, end }: ShardSpan) => foldTree(first, end, leaf, add);

/** Fitted shards, and those that judge. */
const spansOf = (fitted: number, all: number): ShardSpan[] => [
  { first: 0, end: fitted },
  { first: fitted, end: all },
];

test('two workers and sixteen shards: one node travels, the other worker has the shards that judge', () => {
  assert.deepEqual(shareTrees(spansOf(12, 16), 2, 128), [
    [{ first: 0, end: 8 }],
    [
      { first: 8, end: 12 },
      { first: 12, end: 16 },
    ],
  ]);
  // A share takes a sixth more where three nodes become one.
  assert.deepEqual(shareTrees(spansOf(21, 28), 2, 128)[0], [{ first: 0, end: 16 }]);
});

test('every cut has all shards once, in order, and folds to the bits of the whole', async () => {
  for (const [fitted, all] of [
    [1, 2],
    [3, 4],
    [12, 16],
    [21, 28],
    [75, 100],
    [600, 800],
  ])
    for (const workers of [2, 3, 5, 8, 64]) {
      const spans = spansOf(fitted, all);
      const shares = shareTrees(spans, workers, 128);
      const nodes = shares.flat();
      assert.deepEqual([nodes[0].first, nodes.at(-1)!.end], [0, all]);
      for (const [i, { first }] of nodes.entries()) if (i > 0) assert.equal(first, nodes[i - 1].end);
      const parts = spans.flatMap(({ first, end }) => cutTree(first, end, 128));
      assert.equal(shares.length, Math.min(workers, parts.length));
      const even = all / shares.length;
      for (const own of shares) {
        const shards = own.at(-1)!.end - own[0].first;
        assert.ok(own.length > 0 && (workers > 5 || all < 16 || shards < 1.6 * even), `${shards} of ${all}`);
      }
      // What a worker keeps is folded with what the others' sums were joined to.
      const kept = new Set(shares.at(-1));
      for (const span of spans) {
        const within = nodes.filter(({ first, end }) => span.first <= first && end <= span.end);
        const travelled = within.filter((node) => !kept.has(node)).map((node) => ({ node, sum: sumOf(node) }));
        const joined = await joinNodes(span, travelled, async (a, b) => add(a, b));
        const all = [...joined, ...within.filter((node) => kept.has(node)).map((node) => ({ node, sum: sumOf(node) }))];
        all.sort((a, b) => a.node.first - b.node.first);
        const whole = foldCut(
          all.map(({ node }) => node),
          all.map(({ sum }) => sum),
          add,
        );
        assert.equal(whole, sumOf(span), `${fitted} of ${all} shards, ${workers} workers`);
        assert.ok(joined.length <= Math.max(1, Math.ceil(2 * Math.log2(all.length + 1)) + 8));
      }
    }
});

test('sums of all nodes of a tree are joined to one, in its order; with a gap as far as both halves are there', async () => {
  const span = { first: 5, end: 16 };
  const nodes = cutTree(5, 16, 6).map((node) => ({ node, sum: sumOf(node) }));
  const slow = async (a: number, b: number) => add(a, b);
  assert.deepEqual(await joinNodes(span, nodes, slow), [{ node: span, sum: sumOf(span) }]);
  const without = nodes.slice(1);
  const joined = await joinNodes(span, without, slow);
  assert.ok(joined.length < without.length);
  for (const { node, sum } of joined) assert.equal(sum, sumOf(node));
  assert.deepEqual(await joinNodes(span, [], slow), []);
});
