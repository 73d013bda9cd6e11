// Models that stay on the device between tasks. A task never depends on what is kept: what is missing is loaded again.
import { createHash } from 'node:crypto';
import type { Masks } from '../../pruning/masks.ts';
import { keptRows, type PatchPlace } from '../../pruning/patch.ts';
import type { Ops } from '../engine/ops.ts';
import { copyPatch, cutPatches, type DevicePatch, disposePatch, uploadPatch } from './device-patch.ts';
import { disposePruned, disposeWeights, type EncoderWeights, loadWeights, pruneWeights } from './encoder-weights.ts';
import { FittedNames } from './fitted-names.ts';
import { type LocalModel, type ModelSource, openLocalModel } from './local-model.ts';
import { disposeProjection, type PatchedProjection, withProjections } from './patched-weights.ts';
import type { Student } from './student.ts';

interface Entry {
  readonly model: LocalModel;
  readonly weights: EncoderWeights;
  /** Pruned forms of it by the digest of their masks, oldest first. */
  readonly pruned: Map<string, PrunedEntry>;
  /** Of each sub-layer's projections, the patch that was asked for last, whatever the masks. */
  readonly patches: Map<string, { readonly name: string; readonly patch: DevicePatch }>;
}

interface PrunedEntry {
  readonly weights: EncoderWeights;
  /** Of each sub-layer's projections, what their last patch left under these masks. */
  readonly patched: Map<string, { readonly name: string; readonly projection: PatchedProjection }>;
}

const MOST_MODELS = 2;
const MOST_PRUNED = 4;

export class ModelCache {
  readonly fitted = new FittedNames();
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
   * these masks, with which it is released. A patch is read once, also for the masks of later students; it goes when another one
   * of the same projections is asked for.
   * @throws EspalierError "protocol" where the masks keep what a patch lacks; those of `PatchSource.load`. */
  async student(model: LocalModel, masks: Masks, patches: Student['patches']): Promise<EncoderWeights> {
    const entry = await this.entry(model);
    const { weights, patched } = this.prunedOf(entry, masks);
    const missing = patches.filter((source) => patched.get(placeOf(source))?.name !== source.name);
    const found: DevicePatch[] = [];
    for (const source of missing) found.push(await this.patch(entry, source, masks));
    const { engine } = this.ops;
    const cut = engine.scope(() => cutPatches(this.ops, weights.config, found, masks));
    missing.forEach((source, i) => {
      const place = placeOf(source);
      const before = patched.get(place);
      if (before !== undefined) disposeProjection(engine, before.projection);
      patched.set(place, { name: source.name, projection: cut[i] });
    });
    return withProjections(
      weights,
      patches.map((source) => patched.get(placeOf(source))!.projection),
    );
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
          patches: new Map(),
        };
      } finally {
        await checkpoint.close();
      }
    } else this.models.delete(key);
    this.models.set(key, entry);
    return entry;
  }

  /** @param masks of a student that has it. */
  private async patch(
    { weights, patches }: Entry,
    source: Student['patches'][number],
    masks: Masks,
  ): Promise<DevicePatch> {
    const place = placeOf(source);
    const { name } = source;
    const before = patches.get(place);
    if (before?.name === name) return before.patch;
    const { engine } = this.ops;
    let patch: DevicePatch;
    if ('fitted' in source) patch = engine.scope(() => copyPatch(this.ops, source.fitted));
    else {
      this.checkCancelled();
      const stored = await source.load();
      // Nothing that does not fit goes to the device.
      keptRows(stored, masks);
      patch = engine.scope(() => uploadPatch(engine, stored, weights.config));
    }
    if (before !== undefined) disposePatch(engine, before.patch);
    patches.set(place, { name, patch });
    return patch;
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
    for (const { patch } of entry.patches.values()) disposePatch(this.ops.engine, patch);
    disposeWeights(this.ops.engine, entry.weights);
  }
}

function placeOf({ layer, subLayer, part }: PatchPlace): string {
  return `${layer} ${subLayer} ${part}`;
}

// Those of a task never change.
const keysOfMasks = new WeakMap<Masks, string>();

/** Name of masks and scales by content. */
export function masksKey(masks: Masks): string {
  let key = keysOfMasks.get(masks);
  if (key === undefined) {
    const hash = createHash('sha256');
    for (const part of [masks.headMask, masks.neuronMask, masks.headScales, masks.neuronScales]) {
      hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    }
    key = hash.digest('hex');
    keysOfMasks.set(masks, key);
  }
  return key;
}
