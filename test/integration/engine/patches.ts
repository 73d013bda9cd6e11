// Random patches of tiny models, and checkpoints that have the same weights.
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { keptIndices, type Masks, type SubLayer } from '../../../pruning/masks.ts';
import { type Patch, type PatchPart, patchBlocks, patchToTensors } from '../../../pruning/patch.ts';
import { randomStream } from '../../../pruning/random.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import type { LocalModel } from '../../../worker/model/local-model.ts';
import type { PatchSource } from '../../../worker/model/student.ts';
import { localModel } from '../../support/engine.ts';
import { writeWithPatches } from '../../support/random-patches.ts';
import { ReferenceEncoder } from '../../support/reference-encoder.ts';
import { type TinyModel, temporaryFolder } from './tiny-model.ts';

/** A patch of what the masks keep there, with weights of the size of a tiny model's. */
export function randomPatch(
  config: ModelConfig,
  masks: Masks,
  layer: number,
  subLayer: SubLayer,
  name = '',
  part: PatchPart = 'output',
): Patch {
  const random = randomStream(13, `patch ${layer} ${subLayer} ${name}${part === 'input' ? 'input' : ''}`);
  const { hiddenSize, headSize } = config;
  const kept =
    subLayer === 'ffn'
      ? keptIndices(masks.neuronMask, layer, masks.neurons)
      : keptIndices(masks.headMask, layer, masks.heads);
  const draw = (count: number) => new Float32Array(count).map(() => (random.uniform() - 0.5) * 0.8);
  const place = { layer, subLayer, part };
  const rows = kept.length * (subLayer === 'ffn' ? 1 : headSize) * patchBlocks(place);
  return { ...place, kept, weight: draw(rows * hiddenSize), bias: draw(part === 'input' ? rows : hiddenSize) };
}

/** The patch as a task is told of it, and how often it was read. */
export function patchSource(patch: Patch): PatchSource & { reads: number } {
  const { layer, subLayer, part } = patch;
  const name = createHash('sha256')
    .update(encodeSafetensors(patchToTensors(patch)))
    .digest('hex');
  const source = {
    ...{ layer, subLayer, part, name, reads: 0 },
    load: async () => {
      source.reads += 1;
      return patch;
    },
  };
  return source;
}

/** A dense checkpoint like `tiny`, but for the projections of the patches; what they lack is 0. */
export async function patchedModel(
  t: TestContext,
  { folder }: TinyModel,
  patches: readonly Patch[],
): Promise<{ readonly model: LocalModel; readonly encoder: ReferenceEncoder }> {
  const target = path.join(await temporaryFolder(t), 'patched');
  await writeWithPatches(folder, patches, target);
  return { model: await localModel(target), encoder: await ReferenceEncoder.load(target) };
}
