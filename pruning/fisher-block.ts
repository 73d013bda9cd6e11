// F of one sub-layer as rearrangement asks for it: entries, and products with a set of variables of which one at a time is
// replaced. From rows of gradients or from a packed Gram; float64.
import { InnerProducts } from './inner-products.ts';

export interface FisherBlock {
  readonly size: number;
  /** F_ii. */
  readonly diagonal: Float64Array;
  /** F_ij. */
  entry(i: number, j: number): number;
  /** Begins with the set `members`; once. */
  begin(members: Int32Array): void;
  /** `added` comes into the set, `removed` goes. */
  replace(added: number, removed: number): void;
  /** u_i = Σ_j F_ij over the set as it is now. Equal columns give equal bits. */
  product(i: number): number;
  /** Gradients [variables, rows], where F came from them. */
  readonly gradients: Float64Array | null;
}

export class RowsBlock implements FisherBlock {
  readonly size: number;
  readonly diagonal: Float64Array;
  readonly gradients: Float64Array;
  /** Its own column is the sum of the set's. */
  readonly #products: InnerProducts;

  /** @param gradients float64 [variables, rows]. */
  constructor(gradients: Float64Array, size: number, rows: number) {
    this.size = size;
    this.#products = new InnerProducts(gradients, rows);
    this.gradients = this.#products.columns;
    this.diagonal = new Float64Array(size);
    for (let i = 0; i < size; i++) this.diagonal[i] = this.entry(i, i);
  }

  entry(i: number, j: number): number {
    return this.#products.of(i, j);
  }

  begin(members: Int32Array): void {
    this.#products.own.fill(0);
    for (const member of members) this.#add(member, 1);
  }

  replace(added: number, removed: number): void {
    this.#add(added, 1);
    this.#add(removed, -1);
  }

  product(i: number): number {
    return this.#products.withOwn(i);
  }

  #add(variable: number, sign: 1 | -1): void {
    const sum = this.#products.own;
    const start = variable * sum.length;
    for (let row = 0; row < sum.length; row++) sum[row] += sign * this.gradients[start + row];
  }
}

export class GramBlock implements FisherBlock {
  readonly size: number;
  readonly diagonal: Float64Array;
  readonly gradients = null;
  readonly #gram: Float64Array;
  /** Offset of F_ij from its row's start: row i of the packed triangle starts at i·size − i(i−1)/2, column i first. */
  readonly #rowStarts: Int32Array;
  readonly #products: Float64Array;
  /** Replacements so far, and how many of them each u_i has: it takes in the others when it is asked for. */
  readonly #added: number[] = [];
  readonly #removed: number[] = [];
  readonly #taken: Int32Array;

  /** @param gram upper triangle by rows, [n(n+1)/2]. */
  constructor(gram: Float64Array, size: number) {
    this.size = size;
    this.#gram = gram;
    this.#rowStarts = new Int32Array(size);
    for (let i = 0; i < size; i++) this.#rowStarts[i] = i * size - (i * (i - 1)) / 2 - i;
    this.#products = new Float64Array(size);
    this.#taken = new Int32Array(size);
    this.diagonal = new Float64Array(size);
    for (let i = 0; i < size; i++) this.diagonal[i] = this.entry(i, i);
  }

  entry(i: number, j: number): number {
    return i <= j ? this.#gram[this.#rowStarts[i] + j] : this.#gram[this.#rowStarts[j] + i];
  }

  /** Once through the triangle: every u_i adds its members' entries by rising index. */
  begin(members: Int32Array): void {
    const { size } = this;
    const gram = this.#gram;
    const products = this.#products;
    const isMember = new Float64Array(size);
    for (const member of members) isMember[member] = 1;
    for (let i = 0, at = 0; i < size; i++) {
      const own = isMember[i];
      let product = products[i] + own * gram[at++];
      for (let j = i + 1; j < size; j++, at++) {
        product += isMember[j] * gram[at];
        products[j] += own * gram[at];
      }
      products[i] = product;
    }
  }

  replace(added: number, removed: number): void {
    this.#added.push(added);
    this.#removed.push(removed);
  }

  product(i: number): number {
    const added = this.#added;
    const removed = this.#removed;
    let product = this.#products[i];
    for (let at = this.#taken[i]; at < added.length; at++)
      product += this.entry(i, added[at]) - this.entry(i, removed[at]);
    this.#taken[i] = added.length;
    this.#products[i] = product;
    return product;
  }
}

/** Inner product in eight interleaved partial sums, which a processor adds side by side. */
export function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, length: number): number {
  let sum0 = 0;
  let sum1 = 0;
  let sum2 = 0;
  let sum3 = 0;
  let sum4 = 0;
  let sum5 = 0;
  let sum6 = 0;
  let sum7 = 0;
  let i = aStart;
  let j = bStart;
  for (const end = aStart + length - 7; i < end; i += 8, j += 8) {
    sum0 += a[i] * b[j];
    sum1 += a[i + 1] * b[j + 1];
    sum2 += a[i + 2] * b[j + 2];
    sum3 += a[i + 3] * b[j + 3];
    sum4 += a[i + 4] * b[j + 4];
    sum5 += a[i + 5] * b[j + 5];
    sum6 += a[i + 6] * b[j + 6];
    sum7 += a[i + 7] * b[j + 7];
  }
  for (; i < aStart + length; i++, j++) sum0 += a[i] * b[j];
  return sum0 + sum1 + (sum2 + sum3) + (sum4 + sum5 + (sum6 + sum7));
}
