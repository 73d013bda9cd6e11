// Fisher information of the mask variables, as workers return it: rows of gradients, or their Gram matrices. What is
// computed from either form agrees up to float64 rounding.
import { EspalierError } from '../shared/errors.ts';
import type { SubLayer } from './masks.ts';

/** Complete rows: row r is the sum of one group's mask gradients over the group's nominal size. */
export interface FisherRows {
  readonly form: 'rows';
  readonly rows: number;
  /** [rows, layers * (heads + neurons)]: the heads of all layers first, then the neurons, each [layer][variable]. */
  readonly values: Float32Array;
}

/** F = GᵀG of each layer and kind, n(n+1)/2 elements, upper triangle by rows. */
export interface FisherGrams {
  readonly form: 'gram';
  /** One packed [heads, heads] matrix a layer. */
  readonly headGrams: readonly Float64Array[];
  /** One packed [neurons, neurons] matrix a layer. */
  readonly neuronGrams: readonly Float64Array[];
}

export type FisherInformation = FisherRows | FisherGrams;

/** How many mask variables there are: L layers of H heads and I neurons. */
export interface MaskSizes {
  readonly layers: number;
  readonly heads: number;
  readonly neurons: number;
}

/** Diagonal Fisher information, row-major [layer][variable]. */
export interface Importance {
  /** [layers * heads], >= 0. */
  readonly heads: Float64Array;
  /** [layers * neurons], >= 0. */
  readonly neurons: Float64Array;
}

/** Elements of a packed triangle of an n × n matrix. */
export function packedLength(size: number): number {
  return (size * (size + 1)) / 2;
}

/** Diagonal Fisher information of each mask variable: the sum over rows of g². Kwon et al. 2022, eq. 9.
 * @throws EspalierError "shape_mismatch" when the sizes do not fit, "not_finite" when an importance is not finite. */
export function diagonalImportance(
  fisher: FisherInformation,
  layers: number,
  heads: number,
  neurons: number,
): Importance {
  const importance = { heads: new Float64Array(layers * heads), neurons: new Float64Array(layers * neurons) };
  if (fisher.form === 'rows') {
    checkRows(fisher, { layers, heads, neurons });
    const variables = layers * (heads + neurons);
    const sums = new Float64Array(variables);
    for (let row = 0, at = 0; row < fisher.rows; row++)
      for (let variable = 0; variable < variables; variable++, at++) {
        const gradient = fisher.values[at];
        sums[variable] += gradient * gradient;
      }
    importance.heads.set(sums.subarray(0, layers * heads));
    importance.neurons.set(sums.subarray(layers * heads));
  } else {
    checkGrams(fisher, { layers, heads, neurons });
    for (let layer = 0; layer < layers; layer++) {
      importance.heads.set(packedDiagonal(fisher.headGrams[layer], heads), layer * heads);
      importance.neurons.set(packedDiagonal(fisher.neuronGrams[layer], neurons), layer * neurons);
    }
  }
  checkFinite('head importance', importance.heads);
  checkFinite('neuron importance', importance.neurons);
  return importance;
}

/** One layer's gradients, transposed so that a variable's lie side by side.
 * @returns Float64Array [variables, rows]. */
export function layerGradients(fisher: FisherRows, sizes: MaskSizes, layer: number, kind: SubLayer): Float64Array {
  checkRows(fisher, sizes);
  const { layers, heads, neurons } = sizes;
  const stride = layers * (heads + neurons);
  const variables = kind === 'attention' ? heads : neurons;
  const first = kind === 'attention' ? layer * heads : layers * heads + layer * neurons;
  const { rows, values } = fisher;
  const gradients = new Float64Array(variables * rows); // [variables, rows]
  for (let row = 0; row < rows; row++) {
    const from = row * stride + first;
    for (let variable = 0; variable < variables; variable++) gradients[variable * rows + row] = values[from + variable];
  }
  return gradients;
}

/** F = GᵀG of one layer, packed upper triangle by rows, from gradients [variables, rows]; float64. */
export function gramOfGradients(gradients: Float64Array, variables: number, rows: number): Float64Array {
  const gram = new Float64Array(packedLength(variables));
  let at = 0;
  for (let i = 0; i < variables; i++)
    for (let j = i; j < variables; j++) {
      let sum = 0;
      for (let row = 0; row < rows; row++) sum += gradients[i * rows + row] * gradients[j * rows + row];
      gram[at++] = sum;
    }
  return gram;
}

/** The Gram form of complete rows. @param beforeEach called before each sub-layer; may throw. */
export function gramOfRows(fisher: FisherRows, sizes: MaskSizes, beforeEach: () => void = () => {}): FisherGrams {
  const layers = Array.from({ length: sizes.layers }, (_, layer) => layer);
  const grams = (kind: SubLayer, variables: number) =>
    layers.map((layer) => {
      beforeEach();
      return gramOfGradients(layerGradients(fisher, sizes, layer, kind), variables, fisher.rows);
    });
  return { form: 'gram', headGrams: grams('attention', sizes.heads), neuronGrams: grams('ffn', sizes.neurons) };
}

/** Adds the Grams of `b` to those of `a`, in place. @returns `a`. @throws EspalierError "shape_mismatch" when the sizes differ. */
export function addGramsTo(a: FisherGrams, b: FisherGrams): FisherGrams {
  for (const [name, into, from] of [
    ['head gram', a.headGrams, b.headGrams],
    ['neuron gram', a.neuronGrams, b.neuronGrams],
  ] as const) {
    checkLength(`${name} layers`, from.length, into.length);
    into.forEach((gram, layer) => {
      const other = from[layer];
      checkLength(`${name} of layer ${layer}`, other.length, gram.length);
      for (let at = 0; at < gram.length; at++) gram[at] += other[at];
    });
  }
  return a;
}

function packedDiagonal(gram: Float64Array, size: number): Float64Array {
  const diagonal = new Float64Array(size);
  for (let i = 0, at = 0; i < size; at += size - i, i++) diagonal[i] = gram[at];
  return diagonal;
}

function checkRows(fisher: FisherRows, { layers, heads, neurons }: MaskSizes): void {
  checkLength('fisher rows', fisher.values.length, fisher.rows * layers * (heads + neurons));
}

function checkGrams(fisher: FisherGrams, { layers, heads, neurons }: MaskSizes): void {
  checkLength('head gram layers', fisher.headGrams.length, layers);
  checkLength('neuron gram layers', fisher.neuronGrams.length, layers);
  for (const gram of fisher.headGrams) checkLength('head gram', gram.length, packedLength(heads));
  for (const gram of fisher.neuronGrams) checkLength('neuron gram', gram.length, packedLength(neurons));
}

function checkLength(name: string, got: number, expected: number): void {
  if (got !== expected) throw new EspalierError('shape_mismatch', `${name}: got ${got} elements, expected ${expected}`);
}

function checkFinite(name: string, values: Float64Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) throw new EspalierError('not_finite', `${name} ${at}: got ${values[at]}, expected a finite number`);
}
