// The plan's fixed binary tree over shards. Floating point sums depend on their order, so every sum over shards is
// folded in this one order, however the shards are spread over workers.
//
// Rule: a range of one shard is a leaf; a longer range splits after its first 2^p shards, 2^p the largest power of two
// below its length. The split depends on the length alone, so a node of the tree is folded the same way by itself.
import { EspalierError } from '../shared/errors.ts';

/** Neighbouring shards, `first` included, `end` excluded. */
export interface ShardSpan {
  readonly first: number;
  readonly end: number;
}

/** What a range of more than one shard splits into. */
export function halvesOf({ first, end }: ShardSpan): readonly [left: ShardSpan, right: ShardSpan] {
  let left = 1;
  while (left * 2 < end - first) left *= 2;
  return [
    { first, end: first + left },
    { first: first + left, end },
  ];
}

export function isWithin({ first, end }: ShardSpan, span: ShardSpan): boolean {
  return span.first <= first && end <= span.end;
}

/** Folds the shards first … end − 1 in the tree's order; leaves are made from left to right.
 * @param add must not depend on anything but its arguments.
 * @throws EspalierError "internal" for an empty range. */
export function foldTree<T>(first: number, end: number, leaf: (shard: number) => T, add: (a: T, b: T) => T): T {
  checkSpan({ first, end });
  if (end - first === 1) return leaf(first);
  const [left, right] = halvesOf({ first, end });
  const sum = foldTree(left.first, left.end, leaf, add);
  return add(sum, foldTree(right.first, right.end, leaf, add));
}

/** `foldTree` for leaves that come one by one, in any order: holds the sums of whole nodes alone. Of leaves that come from
 * left to right, give or take a few, it holds about as many sums as the tree has levels. */
export class TreeFold<T> {
  readonly #whole: ShardSpan;
  readonly #add: (a: T, b: T) => T;
  readonly #sums = new Map<number, { readonly end: number; readonly sum: T }>();

  constructor(first: number, end: number, add: (a: T, b: T) => T) {
    checkSpan({ first, end });
    this.#whole = { first, end };
    this.#add = add;
  }

  /** Takes a leaf, or the fold of a whole node of the tree. @returns the sum of all, with the last one.
   * @throws EspalierError "internal" for shards that are no node. */
  take(shard: number, leaf: T, end: number = shard + 1): T | null {
    let node: ShardSpan = { first: shard, end };
    let sum = leaf;
    // From the node's parent to the root.
    for (const { left, right } of this.#pathTo(node)) {
      const isLeft = left.first === node.first && left.end === node.end;
      const sibling = isLeft ? right : left;
      const found = this.#sums.get(sibling.first);
      if (found?.end !== sibling.end) {
        this.#sums.set(node.first, { end: node.end, sum });
        return null;
      }
      this.#sums.delete(sibling.first);
      sum = isLeft ? this.#add(sum, found.sum) : this.#add(found.sum, sum);
      node = { first: left.first, end: right.end };
    }
    return sum;
  }

  #pathTo({ first, end }: ShardSpan): { left: ShardSpan; right: ShardSpan }[] {
    const path: { left: ShardSpan; right: ShardSpan }[] = [];
    let node = this.#whole;
    while (node.end - node.first > end - first) {
      const [left, right] = halvesOf(node);
      path.unshift({ left, right });
      node = first < left.end ? left : right;
    }
    if (node.first !== first || node.end !== end)
      throw new EspalierError('internal', `fold: shards ${first}-${end} are no node of the tree`);
    return path;
  }
}

/** Cuts the tree over first … end − 1 into min(parts, shards) of its nodes, left to right, without gaps: the longest
 * node is split, the leftmost of equals, until there are enough. */
export function cutTree(first: number, end: number, parts: number): ShardSpan[] {
  checkSpan({ first, end });
  const nodes: ShardSpan[] = [{ first, end }];
  while (nodes.length < Math.min(parts, end - first)) {
    let longest = 0;
    for (let at = 1; at < nodes.length; at++)
      if (nodes[at].end - nodes[at].first > nodes[longest].end - nodes[longest].first) longest = at;
    nodes.splice(longest, 1, ...halvesOf(nodes[longest]));
  }
  return nodes;
}

/** Folds the sums of a cut's nodes: the same bits as `foldTree` over the shards themselves.
 * @param nodes a cut of one tree, left to right, as `cutTree` gives it. @param sums the fold of each node.
 * @throws EspalierError "internal" when the nodes are no cut of the tree over their shards. */
export function foldCut<T>(nodes: readonly ShardSpan[], sums: readonly T[], add: (a: T, b: T) => T): T {
  if (nodes.length === 0 || sums.length !== nodes.length)
    throw new EspalierError('internal', `fold: got ${sums.length} sums for ${nodes.length} nodes`);
  let next = 0;
  const fold = (span: ShardSpan): T => {
    const { first, end } = span;
    const node = nodes[next];
    if (node?.first === first && node.end === end) return sums[next++];
    if (end - first <= 1) throw new EspalierError('internal', `fold: shards ${first}-${end} are no node of the cut`);
    const [left, right] = halvesOf(span);
    const sum = fold(left);
    return add(sum, fold(right));
  };
  const whole = fold({ first: nodes[0].first, end: nodes[nodes.length - 1].end });
  if (next !== nodes.length) throw new EspalierError('internal', `fold: got ${nodes.length} nodes, expected ${next}`);
  return whole;
}

function checkSpan({ first, end }: ShardSpan): void {
  if (!(Number.isInteger(first) && Number.isInteger(end) && first < end))
    throw new EspalierError('internal', `shards: got the range ${first}-${end}, expected at least one shard`);
}
