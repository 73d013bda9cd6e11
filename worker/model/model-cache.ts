// Models that stay on the device between tasks. A task never depends on what is kept: what is missing is loaded again.
import { createHash } from 'node:crypto';
import type { Masks } from '../../pruning/masks.ts';
import type { Ops } from '../engine/ops.ts';
import { disposePruned, disposeWeights, type EncoderWeights, loadWeights, pruneWeights } from './encoder-weights.ts';
import { type LocalModel, openLocalModel } from './local-model.ts';

interface Entry {
  readonly model: LocalModel;
  readonly weights: EncoderWeights;
  /** Pruned forms of it by the digest of their masks, oldest first. */
  readonly pruned: Map<string, EncoderWeights>;
}

const MOST_MODELS = 2;
const MOST_PRUNED = 4;

export class ModelCache {
  private readonly ops: Ops;
  private readonly checkCancelled: () => void;
  /** Least recently used first. */
  private readonly models = new Map<string, Entry>();

  /** @param checkCancelled called before each layer that is loaded; throws when nobody waits any more. */
  constructor(ops: Ops, checkCancelled: () => void = () => {}) {
    this.ops = ops;
    this.checkCancelled = checkCancelled;
  }

  /** Name of a model by content. */
  static key(model: LocalModel): string {
    const hash = createHash('sha256').update(model.configJson);
    for (const { digest } of model.weights) hash.update(digest);
    return hash.digest('hex');
  }

  /** The dense model; it stays the cache's. @throws EspalierError when its files cannot be read. */
  async dense(model: LocalModel): Promise<EncoderWeights> {
    return (await this.entry(model)).weights;
  }

  /** The model under masks; it stays the cache's, and is released when four others were asked for since. */
  async pruned(model: LocalModel, masks: Masks): Promise<EncoderWeights> {
    const { weights, pruned } = await this.entry(model);
    const key = masksKey(masks);
    let found = pruned.get(key);
    if (found === undefined) {
      for (const [oldest, value] of pruned) {
        if (pruned.size < MOST_PRUNED) break;
        pruned.delete(oldest);
        disposePruned(this.ops.engine, value);
      }
      found = this.ops.engine.scope(() => pruneWeights(this.ops, weights, masks));
    } else pruned.delete(key);
    pruned.set(key, found);
    return found;
  }

  /** Of the weight files of all models here, the one used last at the end. */
  digests(): string[] {
    return [...this.models.values()].flatMap(({ model }) => model.weights.map(({ digest }) => digest));
  }

  /** Releases everything. */
  clear(): void {
    for (const entry of this.models.values()) this.release(entry);
    this.models.clear();
  }

  private async entry(model: LocalModel): Promise<Entry> {
    const key = ModelCache.key(model);
    let entry = this.models.get(key);
    if (entry === undefined) {
      for (const [oldest, value] of this.models) {
        if (this.models.size < MOST_MODELS) break;
        this.models.delete(oldest);
        this.release(value);
      }
      const checkpoint = await openLocalModel(model, key);
      try {
        entry = {
          model,
          weights: this.ops.engine.scope(() => loadWeights(this.ops, checkpoint, this.checkCancelled)),
          pruned: new Map(),
        };
      } finally {
        await checkpoint.close();
      }
    } else this.models.delete(key);
    this.models.set(key, entry);
    return entry;
  }

  private release(entry: Entry): void {
    for (const pruned of entry.pruned.values()) disposePruned(this.ops.engine, pruned);
    disposeWeights(this.ops.engine, entry.weights);
  }
}

/** Name of masks and scales by content. */
export function masksKey(masks: Masks): string {
  const hash = createHash('sha256');
  for (const part of [masks.headMask, masks.neuronMask, masks.headScales, masks.neuronScales]) {
    hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
  return hash.digest('hex');
}
