// Sums that a worker has made and keeps for the solve of their sub-layer, so that they need not travel. A solve that does not
// find them makes them again: the same bits.
import { createHash } from 'node:crypto';
import type { Engine } from '../engine/engine.ts';
import { masksKey } from '../model/model-cache.ts';
import { type DeviceSums, releaseSums } from './device-sums.ts';
import type { StatesPair } from './tuning-pair.ts';

export class KeptSums {
  private readonly engine: Engine;
  private subLayer = '';
  private readonly byNode = new Map<string, DeviceSums>();

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Takes over sums that no scope has. Those of another sub-layer are released: their solve is over, or is not to come.
   * @param subLayer of `sumsKey`. @param node names the shards, and what weights them. */
  put(subLayer: string, node: string, sums: DeviceSums): void {
    if (subLayer !== this.subLayer) this.clear();
    this.subLayer = subLayer;
    const before = this.byNode.get(node);
    if (before !== undefined) releaseSums(this.engine, before);
    this.byNode.set(node, sums);
  }

  /** Hands sums over to the caller, who releases them; null: they are not here. */
  take(subLayer: string, node: string): DeviceSums | null {
    if (subLayer !== this.subLayer) return null;
    const found = this.byNode.get(node) ?? null;
    this.byNode.delete(node);
    return found;
  }

  clear(): void {
    for (const sums of this.byNode.values()) releaseSums(this.engine, sums);
    this.byNode.clear();
  }
}

/** Name of all that the sums of a sub-layer depend on but shards and weights of positions: also of what comes after it. */
export function sumsKey({ key, masks, patches }: StatesPair, step: number): string {
  const names = patches.map(({ layer, subLayer, part, name }) => `${layer}.${subLayer}.${part}:${name}`);
  return createHash('sha256')
    .update([key, masksKey(masks), step, ...names].join())
    .digest('hex');
}
