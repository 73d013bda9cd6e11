// Single fields of a request as they came over the wire, checked: what several kinds of tasks have.
import { readFile } from 'node:fs/promises';
import { foldCut } from '../../pruning/fold-tree.ts';
import type { SubLayer } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { BlobRef__Output } from '../../shared/rpc/generated/espalier/v1/BlobRef.ts';
import type { ModelRef__Output } from '../../shared/rpc/generated/espalier/v1/ModelRef.ts';
import type { ShardRange__Output } from '../../shared/rpc/generated/espalier/v1/ShardRange.ts';
import type { SumNode__Output } from '../../shared/rpc/generated/espalier/v1/SumNode.ts';
import type { SumSource__Output } from '../../shared/rpc/generated/espalier/v1/SumSource.ts';
import { MOST_NEXT } from '../../shared/rpc/most-next.ts';
import { decodeSafetensors } from '../../shared/safetensors.ts';
import type { LocalModel } from '../model/local-model.ts';
import type { SumNode, SumSource, SumTensors } from './sum-source.ts';
import type { ShardRange } from './task-context.ts';

/** Where the blobs of a request lie, by digest. */
export type BlobPaths = Readonly<Record<string, string>>;

/** @throws EspalierError "protocol" for what is missing. */
export function given<T>(value: T | null | undefined, name: string): T {
  if (value === null || value === undefined)
    throw new EspalierError('protocol', `${name}: got nothing, expected a value`);
  return value;
}

/** @throws EspalierError "protocol" outside of `least` to `most`. */
export function within(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most))
    throw new EspalierError('protocol', `${name}: got ${value}, expected ${least} to ${most}`);
}

/** @throws EspalierError "protocol" for a blob that did not come with the request. */
export function pathOf(digest: string, paths: BlobPaths): string {
  return given(paths[digest], `blob ${digest}`);
}

export function model(ref: ModelRef__Output | null, paths: BlobPaths): LocalModel {
  const { configJson, weights } = given(ref, 'model');
  return { configJson, weights: weights.map(({ digest }) => ({ digest, path: pathOf(digest, paths) })) };
}

export function range(value: ShardRange__Output | null): ShardRange {
  const { first, end } = given(value, 'shards');
  return { first, end };
}

/** A task that goes on with other sub-layers sums each of them itself. @throws EspalierError "protocol". */
export function requireChainable({
  next,
  fit,
  heldOut,
}: {
  readonly next: readonly unknown[];
  readonly fit: SumSource__Output | null;
  readonly heldOut: SumSource__Output | null;
}): void {
  within('next', next.length, 0, MOST_NEXT);
  if (next.length > 0 && [fit, heldOut].some((source) => source !== null && !source.shards))
    throw new EspalierError('protocol', 'several sub-layers: got sums, expected shards');
}

export function subLayer(text: string): SubLayer {
  if (text !== 'attention' && text !== 'ffn')
    throw new EspalierError('protocol', `sub_layer: got "${text}", expected "attention" or "ffn"`);
  return text;
}

/** Where the sums of a solve come from; blobs of them are read. @throws EspalierError "protocol", also for nodes that are no cut of
 * a tree. */
export async function sums(source: SumSource__Output, paths: BlobPaths): Promise<SumSource> {
  if (source.sums) return { kind: 'sums', tensors: await readSums(source.sums, paths) };
  if (!source.nodes) return { kind: 'shards', shards: range(source.shards ?? null) };
  const nodes: SumNode[] = [];
  for (const node of source.nodes.nodes) nodes.push(await sumNode(node, paths));
  requireCut(nodes);
  return { kind: 'nodes', nodes };
}

async function sumNode({ shards, sums: own }: SumNode__Output, paths: BlobPaths): Promise<SumNode> {
  return { ...range(shards), tensors: own === null ? null : await readSums(own, paths) };
}

async function readSums({ digest }: BlobRef__Output, paths: BlobPaths): Promise<SumTensors> {
  return decodeSafetensors(await readFile(pathOf(digest, paths)), 'sums').tensors;
}

function requireCut(nodes: readonly SumNode[]): void {
  try {
    foldCut(nodes, nodes, (node) => node);
  } catch (caught) {
    const got = nodes.map(({ first, end }) => `${first}-${end}`).join();
    throw new EspalierError('protocol', `nodes of sums: got ${got}, expected neighbouring nodes of one tree`, {
      cause: caught,
    });
  }
}
