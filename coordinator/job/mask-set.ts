// Masks as they travel and as they are stored.
import type { Masks } from '../../pruning/masks.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { MaskSet } from '../../shared/rpc/generated/espalier/v1/MaskSet.ts';
import type { NamedTensor } from '../../shared/tensor.ts';

/** Masks in a request. */
export function maskSet(masks: Masks): MaskSet {
  return {
    headMask: viewOf(masks.headMask),
    neuronMask: viewOf(masks.neuronMask),
    headScales: scaleBytes(masks.headScales),
    neuronScales: scaleBytes(masks.neuronScales),
    patches: [],
  };
}

// Most of a model's scales are 1 until tuning has come to them, and a request has two sets of masks.
function scaleBytes(scales: Float32Array): Buffer {
  let { length } = scales;
  while (length > 0 && scales[length - 1] === 1) length -= 1;
  return viewOf(scales.subarray(0, length));
}

// Masks do not change once they are made.
function viewOf({ buffer, byteOffset, byteLength }: Uint8Array | Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Masks as the tensors of a stored stage. */
export function masksToTensors(masks: Masks): NamedTensor[] {
  const heads = [masks.layers, masks.heads];
  const neurons = [masks.layers, masks.neurons];
  return [
    { name: 'head_mask', dtype: 'U8', shape: heads, data: masks.headMask },
    { name: 'neuron_mask', dtype: 'U8', shape: neurons, data: masks.neuronMask },
    { name: 'head_scales', dtype: 'F32', shape: heads, data: masks.headScales },
    { name: 'neuron_scales', dtype: 'F32', shape: neurons, data: masks.neuronScales },
  ];
}

/** Inverse of `masksToTensors`. @throws EspalierError "internal" when one is missing. */
export function masksFromTensors(tensors: ReadonlyMap<string, NamedTensor>): Masks {
  const get = (name: string): NamedTensor => {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new EspalierError('internal', `stored masks: got no ${name}, expected one`);
    return tensor;
  };
  const [layers, heads] = get('head_mask').shape;
  return {
    layers,
    heads,
    neurons: get('neuron_mask').shape[1],
    headMask: get('head_mask').data as Uint8Array,
    neuronMask: get('neuron_mask').data as Uint8Array,
    headScales: get('head_scales').data as Float32Array,
    neuronScales: get('neuron_scales').data as Float32Array,
  };
}
