// The weights of an encoder on the device, dense or pruned. Kernels are stored [in, out]. Constants of the formulas are
// folded in once: 1/√d into the query, the activation's factors into the FFN (see ACTIVATION_SCALES).

import type { ModelConfig } from '../../checkpoint/model-config.ts';
import { hasHeadDense } from '../../checkpoint/weight-names.ts';
import { keptIndices, type Masks, type SubLayer } from '../../pruning/masks.ts';
import { alignedColumns } from '../engine/aligned-columns.ts';
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import { ACTIVATION_SCALES } from '../engine/kernels/activation-scales.ts';
import type { NormWeights } from '../engine/kernels/kernels.ts';
import type { Ops } from '../engine/ops.ts';
import { type PackedPart, PackedUpload, type SentUpload, unpack } from '../engine/packed-upload.ts';
import type { ModelSource } from './local-model.ts';
import { WeightUpload } from './weight-upload.ts';

export interface Linear {
  /** [in, out] */
  readonly kernel: DeviceTensor;
  /** [out] */
  readonly bias: DeviceTensor;
}

export interface LayerWeights {
  readonly heads: number;
  readonly neurons: number;
  /** Query, key and value side by side, [D, 3·heads·d]; null where no head is left. */
  readonly attentionIn: Linear | null;
  /** Kernel [heads·d, D]; null where no head is left. */
  readonly attentionOutput: DeviceTensor | null;
  /** [D]: stays when all heads are gone. */
  readonly attentionBias: DeviceTensor;
  readonly attentionNorm: NormWeights;
  /** [D, columns]; null where no neuron is left. There may be more columns than neurons (aligned-columns.ts): those at the end have
   * no part in the layer's output. */
  readonly ffnIn: Linear | null;
  /** Kernel [columns, D], 0 in the rows beyond the neurons; null where no neuron is left. */
  readonly ffnOut: DeviceTensor | null;
  /** [D]: stays when all neurons are gone. */
  readonly ffnBias: DeviceTensor;
  readonly ffnNorm: NormWeights;
}

export interface EncoderWeights {
  readonly config: ModelConfig;
  /** [V, D] */
  readonly words: DeviceTensor;
  /** [positions, D] */
  readonly positions: DeviceTensor;
  /** [types, D] */
  readonly types: DeviceTensor | null;
  readonly embeddingNorm: NormWeights;
  readonly layers: readonly LayerWeights[];
  /** Dense layer before the output layer, sequence classification only. */
  readonly headDense: Linear | null;
  /** [D, outputs] */
  readonly headOutput: Linear;
}

/** What weights on the device carry beside those of the checkpoint: of query, key and value, or of the FFN's first projection. */
export function inputFactors(config: Pick<ModelConfig, 'activation' | 'headSize'>, subLayer: SubLayer): number[] {
  return subLayer === 'ffn' ? [ACTIVATION_SCALES[config.activation].input] : [1 / Math.sqrt(config.headSize), 1, 1];
}

/** Uploads a checkpoint. The caller owns the result (`disposeWeights`).
 * @param beforeEach called before each layer; may throw.
 * @throws EspalierError of the checkpoint's reading. */
export function loadWeights(
  ops: Ops,
  checkpoint: Omit<ModelSource, 'close'>,
  beforeEach: () => void = () => {},
): EncoderWeights {
  const { config } = checkpoint;
  const upload = new WeightUpload(ops, checkpoint);
  const read = (name: string) => upload.tensor(name);
  const kernel = (name: string, factor = 1) => upload.kernel([`${name}.weight`], [factor]);
  const linear = (name: string, factor = 1): Linear => ({
    kernel: kernel(name, factor),
    bias: upload.tensor(`${name}.bias`, factor),
  });
  // Linear layers of one input and as many outputs each, as one.
  const [attentionFactors, [ffnFactor]] = (['attention', 'ffn'] as const).map((kind) => inputFactors(config, kind));
  const joined = (names: readonly string[], factors: readonly number[]): Linear => ({
    kernel: upload.kernel(
      names.map((name) => `${name}.weight`),
      factors,
    ),
    bias: upload.vector(
      names.map((name) => `${name}.bias`),
      factors,
    ),
  });
  const norm = (name: string): NormWeights => ({ gamma: read(`${name}.weight`), beta: read(`${name}.bias`) });
  const scales = ACTIVATION_SCALES[config.activation];
  const layers = Array.from({ length: config.layers }, (_, l): LayerWeights => {
    beforeEach();
    const heads = config.headsByLayer[l]!;
    const neurons = config.neuronsByLayer[l]!;
    const name = `layers.${l}`;
    return {
      heads,
      neurons,
      attentionIn: heads === 0 ? null : joined([`${name}.query`, `${name}.key`, `${name}.value`], attentionFactors),
      attentionOutput: heads === 0 ? null : kernel(`${name}.attention_output`),
      attentionBias: read(`${name}.attention_output.bias`),
      attentionNorm: norm(`${name}.attention_norm`),
      ffnIn: neurons === 0 ? null : filledLinear(ops, () => linear(`${name}.ffn_in`, ffnFactor)),
      ffnOut: neurons === 0 ? null : filledRows(ops, () => kernel(`${name}.ffn_out`, scales.output)),
      ffnBias: read(`${name}.ffn_out.bias`),
      ffnNorm: norm(`${name}.ffn_norm`),
    };
  });
  return {
    config,
    words: read('embeddings.word'),
    positions: read('embeddings.position'),
    types: config.typeVocabularySize === 0 ? null : read('embeddings.type'),
    embeddingNorm: norm('embeddings.norm'),
    layers,
    headDense: hasHeadDense(config) ? linear('head.dense') : null,
    headOutput: linear('head.output'),
  };
}

/** With columns of 0 after those of `load` where products are faster so. */
function filledLinear(ops: Ops, load: () => Linear): Linear {
  return ops.engine.scope(() => {
    const { kernel, bias } = load();
    const fill = fillOf(ops, bias.shape[0]);
    if (fill === 0) return { kernel, bias };
    return { kernel: ops.pad(kernel, [NO_FILL, [0, fill]]), bias: ops.pad(bias, [[0, fill]]) };
  });
}

/** The same with rows. */
function filledRows(ops: Ops, load: () => DeviceTensor): DeviceTensor {
  return ops.engine.scope(() => {
    const kernel = load();
    const fill = fillOf(ops, kernel.shape[0]);
    return fill === 0 ? kernel : ops.pad(kernel, [[0, fill], NO_FILL]);
  });
}

const NO_FILL = [0, 0] as const;

function fillOf({ engine }: Ops, columns: number): number {
  return alignedColumns(engine, columns) - columns;
}

/** The model with only its kept heads and neurons, scaled: what a mask leaves, as smaller matrices. Layers are new
 * tensors that the caller owns (`disposePruned`); embeddings and head are shared with `dense`. */
export function pruneWeights(ops: Ops, dense: EncoderWeights, masks: Masks): EncoderWeights {
  const { engine } = ops;
  return engine.scope(() => {
    const upload = new PackedUpload();
    const packed = dense.layers.map((layer, l) => packKept(engine, upload, dense.config, layer, masks, l));
    const sent = upload.send(ops);
    const layers = dense.layers.map((layer, l) => engine.scope(() => pruneLayer(ops, layer, sent, packed[l]!)));
    return { ...dense, layers };
  });
}

/** Which rows and columns of a layer's kernels are kept; null where none is. */
interface KeptParts {
  readonly heads: number;
  readonly neurons: number;
  /** Columns of query, key and value side by side. */
  readonly attentionColumns: PackedPart | null;
  readonly contexts: KeptRows | null;
  readonly neuronColumns: PackedPart | null;
  readonly activations: KeptRows | null;
}

interface KeptRows {
  readonly rows: PackedPart;
  /** [rows, 1]; null where all are 1. */
  readonly scales: PackedPart | null;
}

function packKept(
  engine: Engine,
  upload: PackedUpload,
  config: ModelConfig,
  layer: LayerWeights,
  masks: Masks,
  l: number,
): KeptParts {
  const heads = keptIndices(masks.headMask, l, masks.heads);
  const neurons = keptIndices(masks.neuronMask, l, masks.neurons);
  const d = config.headSize;
  const columns = new Int32Array(heads.length * d);
  const headScales = new Float32Array(heads.length * d);
  heads.forEach((head, i) => {
    for (let j = 0; j < d; j++) {
      columns[i * d + j] = head * d + j;
      headScales[i * d + j] = masks.headScales[l * masks.heads + head]!;
    }
  });
  const columnsOfAll = Int32Array.from({ length: 3 * columns.length }, (_, i) => {
    const part = Math.floor(i / columns.length);
    return part * layer.heads * d + columns[i - part * columns.length]!;
  });
  // Columns that fill up are copies of the first, times 0.
  const neuronColumns = new Int32Array(alignedColumns(engine, neurons.length)).fill(neurons[0]);
  neuronColumns.set(neurons);
  const neuronScales = new Float32Array(neuronColumns.length);
  neurons.forEach((neuron, i) => {
    neuronScales[i] = masks.neuronScales[l * masks.neurons + neuron]!;
  });
  const pack = (indices: Int32Array) => (indices.length === 0 ? null : upload.add(indices, [indices.length]));
  const packRows = (indices: Int32Array, scales: Float32Array): KeptRows | null => {
    const rows = pack(indices);
    if (rows === null) return null;
    return { rows, scales: scales.every((scale) => scale === 1) ? null : upload.add(scales, [scales.length, 1]) };
  };
  return {
    heads: heads.length,
    neurons: neurons.length,
    attentionColumns: pack(columnsOfAll),
    contexts: packRows(columns, headScales),
    neuronColumns: pack(neuronColumns),
    activations: packRows(neuronColumns, neuronScales),
  };
}

function pruneLayer(ops: Ops, layer: LayerWeights, sent: SentUpload, kept: KeptParts): LayerWeights {
  const select = (linear: Linear | null, indices: PackedPart | null): Linear | null =>
    linear === null || indices === null ? null : selectColumns(ops, linear, unpack(ops, sent, indices));
  const rows = (kernel: DeviceTensor | null, part: KeptRows | null): DeviceTensor | null => {
    if (kernel === null || part === null) return null;
    const own = ops.gather(kernel, unpack(ops, sent, part.rows));
    return part.scales === null ? own : ops.mul(own, unpack(ops, sent, part.scales));
  };
  return {
    ...layer,
    heads: kept.heads,
    neurons: kept.neurons,
    attentionIn: select(layer.attentionIn, kept.attentionColumns),
    attentionOutput: rows(layer.attentionOutput, kept.contexts),
    ffnIn: select(layer.ffnIn, kept.neuronColumns),
    ffnOut: rows(layer.ffnOut, kept.activations),
  };
}

function selectColumns(ops: Ops, linear: Linear, indices: DeviceTensor): Linear {
  return { kernel: ops.gather(linear.kernel, indices, 1), bias: ops.gather(linear.bias, indices) };
}

/** Releases the layers that `pruneWeights` made; what is shared with the dense model stays. */
export function disposePruned(engine: Engine, weights: EncoderWeights): void {
  for (const { attentionIn, attentionOutput, ffnIn, ffnOut } of weights.layers) {
    for (const linear of [attentionIn, ffnIn]) {
      if (linear === null) continue;
      engine.dispose(linear.kernel);
      engine.dispose(linear.bias);
    }
    for (const kernel of [attentionOutput, ffnOut]) if (kernel !== null) engine.dispose(kernel);
  }
}

/** Releases a model that `loadWeights` made. */
export function disposeWeights(engine: Engine, weights: EncoderWeights): void {
  disposePruned(engine, weights);
  const norms = [weights.embeddingNorm, ...weights.layers.flatMap((layer) => [layer.attentionNorm, layer.ffnNorm])];
  const tensors = [
    weights.words,
    weights.positions,
    weights.types,
    ...norms.flatMap(({ gamma, beta }) => [gamma, beta]),
  ];
  tensors.push(...weights.layers.flatMap((layer) => [layer.attentionBias, layer.ffnBias]));
  for (const linear of [weights.headDense, weights.headOutput])
    if (linear !== null) tensors.push(linear.kernel, linear.bias);
  for (const tensor of tensors) if (tensor !== null) engine.dispose(tensor);
}
