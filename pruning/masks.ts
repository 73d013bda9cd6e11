// Which heads and neurons of a model are kept, and by what each is scaled.

/** A pruned model relative to a dense one. All arrays are row-major [layer][variable]. */
export interface Masks {
  readonly layers: number;
  /** H of the dense model. */
  readonly heads: number;
  /** I of the dense model. */
  readonly neurons: number;
  /** [layers * heads], 1 kept, 0 pruned. */
  readonly headMask: Uint8Array;
  /** [layers * neurons], 1 kept, 0 pruned. */
  readonly neuronMask: Uint8Array;
  /** [layers * heads]; multiplies a kept head's context. 1 before tuning. Float32, as the weights that
   * they are folded into. */
  readonly headScales: Float32Array;
  /** [layers * neurons]; multiplies a kept neuron's activation. 1 before tuning. */
  readonly neuronScales: Float32Array;
}

/** The two prunable sub-layers of an encoder layer, in the order in which they run. */
export type SubLayer = 'attention' | 'ffn';

/** Masks that keep everything, all scales 1. */
export function denseMasks(layers: number, heads: number, neurons: number): Masks {
  return {
    layers,
    heads,
    neurons,
    headMask: new Uint8Array(layers * heads).fill(1),
    neuronMask: new Uint8Array(layers * neurons).fill(1),
    headScales: new Float32Array(layers * heads).fill(1),
    neuronScales: new Float32Array(layers * neurons).fill(1),
  };
}

/** Indices of the kept variables of one layer, ascending. */
export function keptIndices(mask: Uint8Array, layer: number, perLayer: number): Int32Array {
  const kept: number[] = [];
  for (let index = 0; index < perLayer; index++) if (mask[layer * perLayer + index] === 1) kept.push(index);
  return Int32Array.from(kept);
}
