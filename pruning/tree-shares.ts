// How the shards of some trees (fold-tree.ts) are shared out: neighbouring shards, about equally many each, in few nodes, since
// the sums of each node travel. A share does not change a sum, only where it is made.
import { cutTree, halvesOf, isWithin, type ShardSpan } from './fold-tree.ts';

/** What a share may have more or less than its part, as a part of it, where that makes fewer nodes. */
const SLACK = 1 / 6;

/** Shares of the trees over these spans, which follow each other: of each its nodes, left to right, all of one tree before those
 * of the next. Fewer shares where there are not enough shards.
 * @param mostParts of a tree that are ever told apart: no node is smaller than those of a cut into so many. */
export function shareTrees(spans: readonly ShardSpan[], shares: number, mostParts: number): ShardSpan[][] {
  const ends = spans.flatMap(({ first, end }) => cutTree(first, end, mostParts).map((part) => part.end));
  const { first } = spans[0];
  const end = ends[ends.length - 1];
  const count = Math.min(shares, ends.length);
  const shared: ShardSpan[][] = [];
  let from = first;
  for (let left = count; left > 1; left -= 1) {
    const wanted = (end - from) / left;
    // Each of the others needs one part at least.
    const allowed = ends.slice(0, ends.length - left + 1).filter((at) => at > from);
    const near = allowed.filter((at) => Math.abs(at - from - wanted) <= SLACK * wanted);
    const distance = (at: number) => Math.abs(at - from - wanted);
    const nodes = (at: number) => nodesWithin(spans, { first: from, end: at });
    const better = (a: number, b: number) => nodes(a).length - nodes(b).length || distance(a) - distance(b) || b - a;
    const to = near.length > 0 ? near.sort(better)[0] : allowed.sort((a, b) => distance(a) - distance(b))[0];
    shared.push(nodes(to));
    from = to;
  }
  shared.push(nodesWithin(spans, { first: from, end }));
  return shared;
}

/** The fewest nodes of the trees that are all shards of a range. */
function nodesWithin(spans: readonly ShardSpan[], range: ShardSpan): ShardSpan[] {
  return spans.flatMap((node): ShardSpan[] => {
    if (node.end <= range.first || node.first >= range.end) return [];
    return isWithin(node, range) ? [node] : nodesWithin(halvesOf(node), range);
  });
}

/** Joins sums of a tree as far as both halves of a node have some. @param sums of nodes of the tree over `span`, left to right;
 * others are elsewhere. @param add as of foldTree. @returns left to right, one where all of the tree is there. */
export async function joinNodes<T>(
  span: ShardSpan,
  sums: readonly { readonly node: ShardSpan; readonly sum: T }[],
  add: (a: T, b: T) => Promise<T>,
): Promise<{ readonly node: ShardSpan; readonly sum: T }[]> {
  const own = sums.filter(({ node }) => isWithin(node, span));
  if (own.length <= 1) return own;
  const halves = halvesOf(span);
  const left = await joinNodes(halves[0], own, add);
  const right = await joinNodes(halves[1], own, add);
  const isWhole = [left, right].every((found, i) => found.length === 1 && isWithin(halves[i], found[0].node));
  return isWhole ? [{ node: span, sum: await add(left[0].sum, right[0].sum) }] : [...left, ...right];
}
