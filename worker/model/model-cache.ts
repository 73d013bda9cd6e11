// Models that stay on the device between tasks. A task never depends on what is kept: what is missing is loaded again.
import { createHash } from 'node:crypto';
import type { Masks } from '../../pruning/masks.ts';
import type { Ops } from '../engine/ops.ts';
import { disposePruned, disposeWeights, type EncoderWeights, loadWeights, pruneWeights } from './encoder-weights.ts';
import { type LocalModel, type ModelSource, openLocalModel } from './local-model.ts';
import { disposeProjection, type PatchedProjection, uploadPatch, withProjections } from './patched-weights.ts';
import type { PatchSource } from './student.ts';

interface Entry {
  readonly model: LocalModel;
  readonly weights: EncoderWeights;
  /** Pruned forms of it by the digest of their masks, oldest first. */
  readonly pruned: Map<string, PrunedEntry>;
}

interface PrunedEntry {
  readonly weights: EncoderWeights;
  /** Of each sub-layer's projections, what their last patch left under these masks. */
  readonly patched: Map<string, { readonly digest: string; readonly projection: PatchedProjection }>;
}

const MOST_MODELS = 2;
const MOST_PRUNED = 4;

export class ModelCache {
  private readonly ops: Ops;
  private readonly checkCancelled: () => void;
  private readonly open: (model: LocalModel, name: string) => Promise<ModelSource>;
  /** Least recently used first. */
  private readonly models = new Map<string, Entry>();

  /** @param checkCancelled called before each layer that is loaded; throws when nobody waits any more.
   * @param open left out: models are files. */
  constructor(ops: Ops, checkCancelled: () => void = () => {}, open: ModelCache['open'] = openLocalModel) {
    this.ops = ops;
    this.checkCancelled = checkCancelled;
    this.open = open;
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
    return this.prunedOf(await this.entry(model), masks).weights;
  }

  /** The model under masks with patches. It stays the cache's and shares everything but patched projections with the model under
   * these masks, with which it is released. A patch is read once; it goes when another one of the same projections is asked for
   * under the same masks.
   * @throws EspalierError "protocol" where the masks keep what a patch lacks; those of `PatchSource.load`. */
  async student(model: LocalModel, masks: Masks, patches: readonly PatchSource[]): Promise<EncoderWeights> {
    const entry = await this.entry(model);
    const { weights, patched } = this.prunedOf(entry, masks);
    const projections: PatchedProjection[] = [];
    for (const { layer, subLayer, part, digest, load } of patches) {
      const place = `${layer} ${subLayer} ${part}`;
      let found = patched.get(place);
      if (found?.digest !== digest) {
        this.checkCancelled();
        const patch = await load();
        const { engine } = this.ops;
        const projection = engine.scope(() => uploadPatch(this.ops, weights.config, patch, masks));
        if (found !== undefined) disposeProjection(engine, found.projection);
        found = { digest, projection };
        patched.set(place, found);
      }
      projections.push(found.projection);
    }
    return withProjections(weights, projections);
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
      const checkpoint = await this.open(model, key);
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

  private prunedOf({ weights, pruned }: Entry, masks: Masks): PrunedEntry {
    const key = masksKey(masks);
    let found = pruned.get(key);
    if (found === undefined) {
      for (const [oldest, value] of pruned) {
        if (pruned.size < MOST_PRUNED) break;
        pruned.delete(oldest);
        this.releasePruned(value);
      }
      found = { weights: this.ops.engine.scope(() => pruneWeights(this.ops, weights, masks)), patched: new Map() };
    } else pruned.delete(key);
    pruned.set(key, found);
    return found;
  }

  private releasePruned({ weights, patched }: PrunedEntry): void {
    for (const { projection } of patched.values()) disposeProjection(this.ops.engine, projection);
    disposePruned(this.ops.engine, weights);
  }

  private release(entry: Entry): void {
    for (const pruned of entry.pruned.values()) this.releasePruned(pruned);
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
