// Masks and patches of a request, with everything that a peer can choose checked.
import { readFile } from 'node:fs/promises';
import type { ModelConfig } from '../../checkpoint/model-config.ts';
import type { Masks } from '../../pruning/masks.ts';
import { type PatchPart, patchFromTensors, patchName, patchSizes } from '../../pruning/patch.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { MaskSet__Output } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import type { Patch__Output } from '../../shared/rpc/generated/espalier/v1/Patch.ts';
import { decodeSafetensors } from '../../shared/safetensors.ts';
import { viewAs } from '../../shared/tensor.ts';
import type { FittedNames } from '../model/fitted-names.ts';
import type { PatchSource, StoredStudent } from '../model/student.ts';
import { type BlobPaths, given, pathOf, subLayer } from './request-fields.ts';

/** A student of the model. Its patches are read when they are asked for, and checked then.
 * @throws EspalierError "protocol" for a model that is pruned already, masks or scales of another form, a patch of a sub-layer
 * that the model lacks, or of projections that have one already. */
export function readStudent(
  config: ModelConfig,
  set: MaskSet__Output,
  paths: BlobPaths,
  fitted: FittedNames,
): StoredStudent {
  const masks = masksOf(config, set);
  const patches = set.patches.map((patch) => patchSource(config, patch, paths, fitted));
  const places = new Set<string>();
  for (const patch of patches) {
    const name = patchName(patch);
    if (places.has(name)) throw new EspalierError('protocol', `${name}: got two, expected one at most`);
    places.add(name);
  }
  return { masks, patches };
}

/** A student that has no patches, of a task that knows none. @throws EspalierError "protocol", also where it has some. */
export function readMasks(config: ModelConfig, set: MaskSet__Output): Masks {
  if (set.patches.length > 0)
    throw new EspalierError('protocol', `patches: got ${set.patches.length}, expected none in this kind of task`);
  return masksOf(config, set);
}

/** Masks, and gradients of them, have a place for every head and neuron.
 * @throws EspalierError "protocol" that begins with `name`, for a model that is pruned already. */
export function requireDense(config: ModelConfig, name: string): void {
  const { heads, intermediateSize, headsByLayer, neuronsByLayer } = config;
  if (headsByLayer.some((count) => count !== heads) || neuronsByLayer.some((count) => count !== intermediateSize))
    throw new EspalierError('protocol', `${name}: got a model that is already pruned, expected a dense one`);
}

function masksOf(config: ModelConfig, set: MaskSet__Output): Masks {
  requireDense(config, 'masks');
  const { layers, heads, intermediateSize } = config;
  return {
    layers,
    heads,
    neurons: intermediateSize,
    headMask: bits('head_mask', set.headMask, layers * heads),
    neuronMask: bits('neuron_mask', set.neuronMask, layers * intermediateSize),
    headScales: scales('head_scales', set.headScales, layers * heads),
    neuronScales: scales('neuron_scales', set.neuronScales, layers * intermediateSize),
  };
}

function patchSource(config: ModelConfig, patch: Patch__Output, paths: BlobPaths, fitted: FittedNames): PatchSource {
  const { layers } = config;
  if (!(patch.layer < layers))
    throw new EspalierError('protocol', `layer of a patch: got ${patch.layer}, expected 0 to ${layers - 1}`);
  const at = { layer: patch.layer, subLayer: subLayer(patch.subLayer), part: partOf(patch.part) };
  const sizes = patchSizes(config, at.subLayer);
  const { digest } = given(patch.blob, 'blob of a patch');
  const path = pathOf(digest, paths);
  return {
    ...at,
    name: fitted.of(digest),
    load: async () => patchFromTensors(decodeSafetensors(await readFile(path), patchName(at)).tensors, at, sizes),
  };
}

function partOf(text: string): PatchPart {
  if (text !== '' && text !== 'input')
    throw new EspalierError('protocol', `part of a patch: got "${text}", expected "" or "input"`);
  return text === 'input' ? text : 'output';
}

function bits(name: string, bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length !== length)
    throw new EspalierError('protocol', `${name}: got ${bytes.length} bytes, expected ${length}`);
  // Plain loops, here and below: with a function for each of tens of thousands of bits, a task's masks take a millisecond.
  for (let at = 0; at < length; at++)
    if (bytes[at] > 1) throw new EspalierError('protocol', `${name} ${at}: got ${bytes[at]}, expected 0 or 1`);
  return new Uint8Array(bytes);
}

// Those that are left out at the end are 1.
function scales(name: string, bytes: Uint8Array, length: number): Float32Array {
  if (bytes.length > length * 4 || bytes.length % 4 !== 0)
    throw new EspalierError('protocol', `${name}: got ${bytes.length} bytes, expected at most ${length * 4}`);
  const values = viewAs('F32', bytes) as Float32Array;
  for (let at = 0; at < values.length; at++)
    if (!Number.isFinite(values[at]))
      throw new EspalierError('protocol', `${name} ${at}: got ${values[at]}, expected a finite number`);
  const all = new Float32Array(length).fill(1);
  all.set(values);
  return all;
}
