// F of one sub-layer as rearrangement asks for it: entries, and products with a set of variables of which one at a time is
// replaced. From rows of gradients or from a packed Gram; float64.
import { InnerProducts } from './inner-products.ts';

export interface FisherBlock {
  readonly size: number;
  /** F_ii. */
  readonly diagonal: Float64Array;
  /** F_ij. */
  entry(i: number, j: number): number;
  /** F_ij of the first `count` of a list of i. @returns in the list's order, until the next call. */
  entries(list: Int32Array, count: number, j: number): Float64Array;
  /** Begins with the set `members`; once. */
  begin(members: Int32Array): void;
  /** `added` comes into the set, `removed` goes. */
  replace(added: number, removed: number): void;
  /** u_i = Σ_j F_ij over the set as it is now. Equal columns give equal bits. */
  product(i: number): number;
  /** `product` of the first `count` of a list of i. @returns in the list's order, until the next call. */
  products(list: Int32Array, count: number): Float64Array;
  /** Where F came from gradients. */
  readonly columns: InnerProducts | null;
}

export class RowsBlock implements FisherBlock {
  readonly size: number;
  readonly diagonal: Float64Array;
  readonly columns: InnerProducts;
  /** Sum of the set's columns. */
  readonly #sum: Float64Array;

  /** @param gradients [variables, rows]. */
  constructor(gradients: Float32Array, size: number, rows: number) {
    this.size = size;
    this.columns = new InnerProducts(gradients, rows);
    this.#sum = new Float64Array(rows);
    this.diagonal = new Float64Array(size);
    for (let i = 0; i < size; i++) this.diagonal[i] = this.entry(i, i);
  }

  entry(i: number, j: number): number {
    this.columns.take(j);
    return this.columns.of(i);
  }

  entries(list: Int32Array, count: number, j: number): Float64Array {
    this.columns.take(j);
    return this.columns.ofEach(list, count);
  }

  begin(members: Int32Array): void {
    for (const member of members) this.#add(member, 1);
  }

  replace(added: number, removed: number): void {
    this.#add(added, 1);
    this.#add(removed, -1);
  }

  product(i: number): number {
    this.columns.vector.set(this.#sum);
    return this.columns.of(i);
  }

  products(list: Int32Array, count: number): Float64Array {
    this.columns.vector.set(this.#sum);
    return this.columns.ofEach(list, count);
  }

  #add(variable: number, sign: 1 | -1): void {
    const sum = this.#sum;
    const { columns } = this.columns;
    const start = variable * sum.length;
    for (let row = 0; row < sum.length; row++) sum[row] += sign * columns[start + row];
  }
}

export class GramBlock implements FisherBlock {
  readonly size: number;
  readonly diagonal: Float64Array;
  readonly columns = null;
  readonly #gram: Float64Array;
  /** Offset of F_ij from its row's start: row i of the packed triangle starts at i·size − i(i−1)/2, column i first. */
  readonly #rowStarts: Int32Array;
  readonly #products: Float64Array;
  /** Replacements so far, and how many of them each u_i has: it takes in the others when it is asked for. */
  readonly #added: number[] = [];
  readonly #removed: number[] = [];
  readonly #taken: Int32Array;
  readonly #results: Float64Array;

  /** @param gram upper triangle by rows, [n(n+1)/2]. */
  constructor(gram: Float64Array, size: number) {
    this.size = size;
    this.#gram = gram;
    this.#rowStarts = new Int32Array(size);
    for (let i = 0; i < size; i++) this.#rowStarts[i] = i * size - (i * (i - 1)) / 2 - i;
    this.#products = new Float64Array(size);
    this.#taken = new Int32Array(size);
    this.#results = new Float64Array(size);
    this.diagonal = new Float64Array(size);
    for (let i = 0; i < size; i++) this.diagonal[i] = this.entry(i, i);
  }

  entry(i: number, j: number): number {
    return i <= j ? this.#gram[this.#rowStarts[i] + j] : this.#gram[this.#rowStarts[j] + i];
  }

  entries(list: Int32Array, count: number, j: number): Float64Array {
    for (let at = 0; at < count; at++) this.#results[at] = this.entry(list[at], j);
    return this.#results;
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

  products(list: Int32Array, count: number): Float64Array {
    for (let at = 0; at < count; at++) this.#results[at] = this.product(list[at]);
    return this.#results;
  }
}
