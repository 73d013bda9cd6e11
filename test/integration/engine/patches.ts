// Random patches of tiny models, and checkpoints that have the same weights.
import { createHash } from 'node:crypto';
import { cp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { weightSpecs } from '../../../checkpoint/weight-names.ts';
import { keptIndices, type Masks, type SubLayer } from '../../../pruning/masks.ts';
import { type Patch, patchToTensors } from '../../../pruning/patch.ts';
import { randomStream } from '../../../pruning/random.ts';
import { decodeSafetensors, encodeSafetensors } from '../../../shared/safetensors.ts';
import type { LocalModel } from '../../../worker/model/local-model.ts';
import type { PatchSource } from '../../../worker/model/student.ts';
import { localModel } from '../../support/engine.ts';
import { ReferenceEncoder } from '../../support/reference-encoder.ts';
import { type TinyModel, temporaryFolder } from './tiny-model.ts';

/** A patch of what the masks keep there, with weights of the size of a tiny model's. */
export function randomPatch(config: ModelConfig, masks: Masks, layer: number, subLayer: SubLayer, name = ''): Patch {
  const random = randomStream(13, `patch ${layer} ${subLayer} ${name}`);
  const { hiddenSize, headSize } = config;
  const kept =
    subLayer === 'ffn'
      ? keptIndices(masks.neuronMask, layer, masks.neurons)
      : keptIndices(masks.headMask, layer, masks.heads);
  const draw = (count: number) => new Float32Array(count).map(() => (random.uniform() - 0.5) * 0.8);
  const rows = kept.length * (subLayer === 'ffn' ? 1 : headSize);
  return { layer, subLayer, kept, weight: draw(rows * hiddenSize), bias: draw(hiddenSize) };
}

/** The patch as a task is told of it, and how often it was read. */
export function patchSource(patch: Patch): PatchSource & { reads: number } {
  const { layer, subLayer } = patch;
  const digest = createHash('sha256')
    .update(encodeSafetensors(patchToTensors(patch)))
    .digest('hex');
  const source = {
    ...{ layer, subLayer, digest, reads: 0 },
    load: async () => {
      source.reads += 1;
      return patch;
    },
  };
  return source;
}

/** A dense checkpoint like `tiny`, but for the projections of the patches; what they lack stays. */
export async function patchedModel(
  t: TestContext,
  { folder, config }: TinyModel,
  patches: readonly Patch[],
): Promise<{ readonly folder: string; readonly model: LocalModel; readonly encoder: ReferenceEncoder }> {
  const target = path.join(await temporaryFolder(t), 'patched');
  await cp(folder, target, { recursive: true });
  const file = path.join(target, 'model.safetensors');
  const { tensors } = decodeSafetensors(await readFile(file), file);
  const stored = new Map(weightSpecs(config).map(({ name, storedName }) => [name, storedName]));
  const valuesOf = (name: string) => tensors.get(stored.get(name) ?? '')?.data as Float32Array;
  for (const { layer, subLayer, kept, weight, bias } of patches) {
    const name = `layers.${layer}.${subLayer === 'ffn' ? 'ffn_out' : 'attention_output'}`;
    const size = subLayer === 'ffn' ? 1 : config.headSize;
    // Stored [D, features].
    const dense = valuesOf(`${name}.weight`);
    const features = dense.length / bias.length;
    kept.forEach((variable, i) => {
      for (let part = 0; part < size; part++)
        for (let out = 0; out < bias.length; out++)
          dense[out * features + variable * size + part] = weight[(i * size + part) * bias.length + out];
    });
    valuesOf(`${name}.bias`).set(bias);
  }
  await writeFile(file, encodeSafetensors([...tensors.values()]));
  return { folder: target, model: await localModel(target), encoder: await ReferenceEncoder.load(target) };
}
