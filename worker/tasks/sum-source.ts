// Where the sums of a solve come from.
import type { NamedTensor } from '../../shared/tensor.ts';
import type { Forward } from '../model/forward.ts';
import { type DeviceSums, foldNodes } from '../tuning/device-sums.ts';
import type { ShardRange } from './task-context.ts';

/** The tensors of a normal-equations or refit-equations result. */
export type SumTensors = ReadonlyMap<string, NamedTensor>;

/** A node of the plan's tree. */
export interface SumNode extends ShardRange {
  /** null: made here. */
  readonly tensors: SumTensors | null;
}

/** Made here from shards, already folded, or nodes that are folded here: a cut of the tree, left to right. */
export type SumSource =
  | { readonly kind: 'shards'; readonly shards: ShardRange }
  | { readonly kind: 'sums'; readonly tensors: SumTensors }
  | { readonly kind: 'nodes'; readonly nodes: readonly SumNode[] };

/** Shards whose sums are made here. */
export function summedHere(source: SumSource): readonly ShardRange[] {
  switch (source.kind) {
    case 'shards':
      return [source.shards];
    case 'sums':
      return [];
    case 'nodes':
      return source.nodes.filter(({ tensors }) => tensors === null);
  }
}

/** The sums of a source. The caller releases them, also where a scope is open.
 * @param make sums of shards. @param upload sums as they came. */
export function sumsOfSource(
  forward: Forward,
  source: SumSource,
  make: (shards: ShardRange) => DeviceSums,
  upload: (tensors: SumTensors) => DeviceSums,
): DeviceSums {
  switch (source.kind) {
    case 'shards':
      return make(source.shards);
    case 'sums':
      return upload(source.tensors);
    case 'nodes':
      return foldNodes(forward, source.nodes, (node) => (node.tensors === null ? make(node) : upload(node.tensors)));
  }
}
