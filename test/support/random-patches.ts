// Patches of random numbers, and the dense model that computes under masks what a model with those patches does.
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import { keptIndices, type Masks } from '../../pruning/masks.ts';
import type { Patch } from '../../pruning/patch.ts';
import { randomStream } from '../../pruning/random.ts';
import { encodeSafetensors } from '../../shared/safetensors.ts';

/** Patches of every sub-layer but the first, fitted before the last of each was pruned: for the first variable that the masks
 * prune, too. Those of the outputs come first. Weights between -0.4 and 0.4. */
export function randomPatches({ config }: Pick<Checkpoint, 'config'>, masks: Masks): Patch[] {
  const random = randomStream(19, 'patches');
  const draw = (length: number) => new Float32Array(length).map(() => (random.uniform() - 0.5) * 0.8);
  const patches: Patch[] = [];
  const inputs: Patch[] = [];
  for (let layer = 0; layer < config.layers; layer++)
    for (const subLayer of ['attention', 'ffn'] as const) {
      if (layer === 0 && subLayer === 'attention') continue;
      const [mask, count] = subLayer === 'ffn' ? [masks.neuronMask, masks.neurons] : [masks.headMask, masks.heads];
      const pruned = mask.subarray(layer * count, (layer + 1) * count).indexOf(0);
      const kept = Int32Array.from([...keptIndices(mask, layer, count), ...(pruned < 0 ? [] : [pruned])]).sort();
      const size = subLayer === 'ffn' ? 1 : config.headSize;
      patches.push({
        ...{ layer, subLayer, part: 'output', kept },
        weight: draw(kept.length * size * config.hiddenSize),
        bias: draw(config.hiddenSize),
      });
      const rows = kept.length * size * (subLayer === 'ffn' ? 1 : 3);
      inputs.push({
        ...{ layer, subLayer, part: 'input', kept },
        ...{ weight: draw(rows * config.hiddenSize), bias: draw(rows) },
      });
    }
  return [...patches, ...inputs];
}

/** Writes a copy of a dense model with the patches' rows as columns of its output projections and as rows of its input
 * projections; what a patch does not tell is 0. */
export async function writeWithPatches(from: string, patches: readonly Patch[], to: string): Promise<void> {
  await cp(from, to, { recursive: true });
  const source = await openCheckpoint(from);
  try {
    const { headSize, hiddenSize } = source.config;
    const changed = new Map<string, Float32Array>();
    for (const { layer, subLayer, part, kept, weight, bias } of patches) {
      const size = subLayer === 'ffn' ? 1 : headSize;
      if (part === 'input') {
        const rows = kept.length * size;
        for (const [block, own] of (subLayer === 'ffn' ? ['ffn_in'] : ['query', 'key', 'value']).entries())
          for (const [field, from, width] of [
            ['weight', weight, hiddenSize],
            ['bias', bias, 1],
          ] as const) {
            const name = `layers.${layer}.${own}.${field}`;
            const expanded = new Float32Array((await source.tensor(name)).length);
            for (let i = 0; i < rows; i++)
              expanded.set(
                from.subarray((block * rows + i) * width, (block * rows + i + 1) * width),
                (kept[Math.floor(i / size)] * size + (i % size)) * width,
              );
            changed.set(name, expanded);
          }
        continue;
      }
      const name = `layers.${layer}.${subLayer === 'ffn' ? 'ffn_out' : 'attention_output'}`;
      const own = await source.tensor(`${name}.weight`);
      const width = own.length / hiddenSize;
      const expanded = new Float32Array(own.length);
      for (let i = 0; i < kept.length * size; i++)
        for (let d = 0; d < hiddenSize; d++)
          expanded[d * width + kept[Math.floor(i / size)] * size + (i % size)] = weight[i * hiddenSize + d];
      changed.set(`${name}.weight`, expanded).set(`${name}.bias`, bias);
    }
    const tensors = await Promise.all(
      [...source.weights.values()].map(async ({ name, storedName, shape }) => ({
        ...{ name: storedName, dtype: 'F32' as const, shape },
        data: changed.get(name) ?? (await source.tensor(name)),
      })),
    );
    await writeFile(join(to, 'model.safetensors'), encodeSafetensors(tensors));
  } finally {
    await source.close();
  }
}
