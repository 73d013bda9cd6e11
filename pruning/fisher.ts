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

/** Elements of the rows that one task may sum: 1 GiB in float64. */
export const MOST_TASK_GRADIENTS = 2 ** 27;

/** Transposed together: as many float32 as a processor writes to memory at once. */
export const ROWS_AT_ONCE = 16;

/** What of the Fisher information belongs to one sub-layer. */
export type LayerFisher =
  | { readonly form: 'rows'; readonly rows: number /** [variables, rows] */; readonly gradients: Float32Array }
  | { readonly form: 'gram' /** Packed [variables, variables]. */; readonly gram: Float64Array };

/** Fisher information a sub-layer at a time, for whoever need not hold it all. */
export interface FisherLayers {
  of(layer: number, kind: SubLayer): LayerFisher;
}

/** The sub-layers of what is in memory. @throws EspalierError "shape_mismatch", from `of`, when the sizes do not fit. */
export function layersOfFisher(fisher: FisherInformation, sizes: MaskSizes): FisherLayers {
  return {
    of(layer, kind) {
      if (fisher.form === 'rows')
        return { form: 'rows', rows: fisher.rows, gradients: layerGradients(fisher, sizes, layer, kind) };
      return { form: 'gram', gram: (kind === 'attention' ? fisher.headGrams : fisher.neuronGrams)[layer] };
    },
  };
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
  const sums = new ImportanceSums({ layers, heads, neurons });
  if (fisher.form === 'rows') {
    checkRows(fisher, { layers, heads, neurons });
    sums.addRows(fisher.values);
  } else {
    checkGrams(fisher, { layers, heads, neurons });
    for (let layer = 0; layer < layers; layer++) {
      sums.setDiagonal(layer, 'attention', fisher.headGrams[layer]);
      sums.setDiagonal(layer, 'ffn', fisher.neuronGrams[layer]);
    }
  }
  return sums.importance();
}

/** `diagonalImportance` of what comes in parts: whole rows in their order, or the Gram of each sub-layer. */
export class ImportanceSums {
  readonly #sizes: MaskSizes;
  /** In the order of a row. */
  readonly #sums: Float64Array;

  constructor(sizes: MaskSizes) {
    this.#sizes = sizes;
    this.#sums = new Float64Array(sizes.layers * (sizes.heads + sizes.neurons));
  }

  /** @param values [rows, variables]. */
  addRows(values: Float32Array): void {
    const sums = this.#sums;
    for (let at = 0; at < values.length; )
      for (let variable = 0; variable < sums.length; variable++, at++) {
        const gradient = values[at];
        sums[variable] += gradient * gradient;
      }
  }

  /** @param gram packed. */
  setDiagonal(layer: number, kind: SubLayer, gram: Float64Array): void {
    const { layers, heads, neurons } = this.#sizes;
    if (kind === 'attention') this.#sums.set(packedDiagonal(gram, heads), layer * heads);
    else this.#sums.set(packedDiagonal(gram, neurons), layers * heads + layer * neurons);
  }

  /** @throws EspalierError "not_finite". */
  importance(): Importance {
    const { layers, heads } = this.#sizes;
    const importance = { heads: this.#sums.slice(0, layers * heads), neurons: this.#sums.slice(layers * heads) };
    checkFinite('head importance', importance.heads);
    checkFinite('neuron importance', importance.neurons);
    return importance;
  }
}

/** One layer's gradients, transposed so that a variable's lie side by side.
 * @returns [variables, rows]. */
export function layerGradients(fisher: FisherRows, sizes: MaskSizes, layer: number, kind: SubLayer): Float32Array {
  checkRows(fisher, sizes);
  const { layers, heads, neurons } = sizes;
  const stride = layers * (heads + neurons);
  const variables = kind === 'attention' ? heads : neurons;
  const first = kind === 'attention' ? layer * heads : layers * heads + layer * neurons;
  const { rows, values } = fisher;
  const gradients = new Float32Array(variables * rows);
  for (let row = 0; row < rows; row += ROWS_AT_ONCE) {
    const count = Math.min(ROWS_AT_ONCE, rows - row);
    putRows(gradients, rows, row, { values, count, first: row * stride + first, stride });
  }
  return gradients;
}

/** Rows of one sub-layer among others': `count` of them, each a `stride` after the one before. */
export interface RowsPart {
  readonly values: Float32Array;
  readonly count: number;
  /** Where the first one begins. */
  readonly first: number;
  readonly stride: number;
}

/** Puts rows in their place from `row` on. @param gradients [variables, rows]. */
export function putRows(gradients: Float32Array, rows: number, row: number, part: RowsPart): void {
  const { values, count, first, stride } = part;
  const variables = gradients.length / rows;
  for (let variable = 0; variable < variables; variable++) {
    const to = variable * rows + row;
    for (let at = 0, from = first + variable; at < count; at++, from += stride) gradients[to + at] = values[from];
  }
}

/** What belongs to some of a sub-layer's variables. @param size how many it has. @param places which, ascending.
 * @throws EspalierError "shape_mismatch". */
export function selectedFisher(fisher: LayerFisher, size: number, places: Int32Array): LayerFisher {
  if (fisher.form === 'rows') {
    const { rows } = fisher;
    checkLength('gradients', fisher.gradients.length, size * rows);
    const gradients = new Float32Array(places.length * rows); // [places, rows]
    for (const [at, place] of places.entries())
      gradients.set(fisher.gradients.subarray(place * rows, (place + 1) * rows), at * rows);
    return { form: 'rows', rows, gradients };
  }
  checkLength('gram', fisher.gram?.length, packedLength(size));
  const gram = new Float64Array(packedLength(places.length));
  let next = 0;
  for (const [at, i] of places.entries()) {
    // Row i begins at its diagonal.
    const start = i * size - (i * (i - 1)) / 2 - i;
    for (let other = at; other < places.length; other++) gram[next++] = fisher.gram[start + places[other]];
  }
  return { form: 'gram', gram };
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

function checkLength(name: string, got: number | undefined, expected: number): void {
  if (got !== expected) throw new EspalierError('shape_mismatch', `${name}: got ${got} elements, expected ${expected}`);
}

function checkFinite(name: string, values: Float64Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) throw new EspalierError('not_finite', `${name} ${at}: got ${values[at]}, expected a finite number`);
}
