// Inner products of the columns of one sub-layer's gradients with a vector: float64, in eight interleaved partial sums, two of
// them to a register. Columns stay in float32, as they come, since reading them is what takes the time;
// two are multiplied at once, and many in one call.
import {
  ADD_F64,
  ADD_F64X2,
  ADD_I32,
  AND_I32,
  advance,
  compiledOnce,
  constantI32,
  F64,
  get,
  I32,
  LOAD_F32_AS_F64,
  LOAD_F64,
  LOAD_I32,
  laneOf,
  loadF32x2AsF64x2,
  loadF64x2,
  MULTIPLY_F64,
  MULTIPLY_F64X2,
  memoryOf,
  SHIFT_LEFT_I32,
  set,
  storeF64,
  V128,
  type WebAssemblyFunction,
  whileBelow,
  ZERO_V128,
} from './web-assembly.ts';

const FLOAT32 = Float32Array.BYTES_PER_ELEMENT;
const FLOAT64 = Float64Array.BYTES_PER_ELEMENT;
/** Columns that are multiplied at once. */
const AT_ONCE = 2;

/** [addresses of columns, where they end, address of the vector, address of the results, rows]. */
type Products = (list: number, listEnd: number, vector: number, results: number, rows: number) => void;

/** Columns in memory that the module reads. Together at most 4 GiB. */
export class InnerProducts {
  /** [columns, rows]. */
  readonly columns: Float32Array;
  /** [rows], 0 at first: what columns are multiplied with. */
  readonly vector: Float64Array;
  readonly #list: Int32Array;
  readonly #results: Float64Array;
  readonly #products: Products;

  /** @param columns [columns, rows], which are copied. */
  constructor(columns: Float32Array, rows: number) {
    const count = rows === 0 ? 0 : columns.length / rows;
    const most = count + AT_ONCE;
    const columnBytes = Math.ceil((columns.length * FLOAT32) / FLOAT64) * FLOAT64;
    const memory = memoryOf(columnBytes + (rows + most) * FLOAT64 + most * Int32Array.BYTES_PER_ELEMENT);
    this.columns = new Float32Array(memory.buffer, 0, columns.length);
    this.columns.set(columns);
    this.vector = new Float64Array(memory.buffer, columnBytes, rows);
    this.#results = new Float64Array(memory.buffer, columnBytes + rows * FLOAT64, most);
    this.#list = new Int32Array(memory.buffer, columnBytes + (rows + most) * FLOAT64, most);
    this.#products = productsOn(memory);
  }

  /** Makes the vector a column. */
  take(column: number): void {
    const { columns, vector } = this;
    for (let row = 0, at = column * vector.length; row < vector.length; row++, at++) vector[row] = columns[at];
  }

  /** Inner product of one column with the vector. */
  of(column: number): number {
    this.#list[0] = column * this.vector.length * FLOAT32;
    return this.#multiply(1)[0];
  }

  /** Inner products with the vector of the first `count` of a list of columns, no more than there are.
   * @returns in the list's order, until the next call. */
  ofEach(list: Int32Array, count: number): Float64Array {
    const bytes = this.vector.length * FLOAT32;
    for (let at = 0; at < count; at++) this.#list[at] = list[at] * bytes;
    return this.#multiply(count);
  }

  #multiply(count: number): Float64Array {
    const list = this.#list;
    for (let at = count; at % AT_ONCE !== 0; at++) list[at] = list[0];
    const end = list.byteOffset + count * Int32Array.BYTES_PER_ELEMENT;
    this.#products(list.byteOffset, end, this.vector.byteOffset, this.#results.byteOffset, this.vector.length);
    return this.#results;
  }
}

const productsOn = compiledOnce<Products>(productsFunction);

function productsFunction(): WebAssemblyFunction {
  const [LIST, LIST_END, VECTOR, RESULTS, ROWS, AT, END] = [0, 1, 2, 3, 4, 5, 6];
  // Per column: address, partial sums in pairs, and the first of them alone; then what is read of the vector.
  const COLUMNS = [7, 13];
  const PAIRS = [0, 1, 2, 3];
  const pairOf = (column: number, pair: number) => column + 1 + pair;
  const firstOf = (column: number) => column + 5;
  const TWO = 19;
  const each = (code: (column: number, index: number) => number[]) => COLUMNS.flatMap(code);
  /** `mask` picks a part of the rows. */
  const setEnd = (mask: number) =>
    [get(AT), get(ROWS), constantI32(mask), AND_I32, constantI32(3), SHIFT_LEFT_I32, ADD_I32, set(END)].flat();
  const addPair = (column: number, pair: number) => {
    const sum = pairOf(column, pair);
    const product = [...loadF32x2AsF64x2(8 * pair), ...get(TWO), ...MULTIPLY_F64X2];
    return [...get(sum), ...get(column), ...product, ...ADD_F64X2, ...set(sum)];
  };
  const eight = [
    ...PAIRS.flatMap((pair) => [
      ...[...get(AT), ...loadF64x2(16 * pair), ...set(TWO)],
      ...each((column) => addPair(column, pair)),
    ]),
    ...each((column) => advance(column, 32)),
    ...[...advance(AT, 32), ...advance(AT, 32)],
  ];
  const single = [
    ...each((column) => [
      ...[...get(firstOf(column)), ...get(column), ...LOAD_F32_AS_F64, ...get(AT), ...LOAD_F64],
      ...[...MULTIPLY_F64, ...ADD_F64, ...set(firstOf(column)), ...advance(column, 4)],
    ]),
    ...advance(AT, 8),
  ];
  // sum0 + sum1 + (sum2 + sum3) + (sum4 + sum5 + (sum6 + sum7))
  const sumOf = (column: number) => {
    const pairSum = (pair: number) => {
      const sum = pairOf(column, pair);
      return [...laneOf(sum, 0), ...laneOf(sum, 1), ...ADD_F64];
    };
    return [
      ...[...get(firstOf(column)), ...laneOf(pairOf(column, 0), 1), ...ADD_F64],
      ...[...pairSum(1), ...ADD_F64],
      ...[...pairSum(2), ...pairSum(3), ...ADD_F64, ...ADD_F64],
    ];
  };
  const some = [
    ...each((column, index) => [
      ...[...get(LIST), ...constantI32(4 * index), ...ADD_I32, ...LOAD_I32, ...set(column)],
      ...PAIRS.flatMap((pair) => [...ZERO_V128, ...set(pairOf(column, pair))]),
    ]),
    ...[...get(VECTOR), ...set(AT), ...setEnd(-8)],
    ...whileBelow(AT, END, eight),
    ...each((column) => [...laneOf(pairOf(column, 0), 0), ...set(firstOf(column))]),
    ...setEnd(7),
    ...whileBelow(AT, END, single),
    ...each((column, index) => [...get(RESULTS), ...sumOf(column), ...storeF64(FLOAT64 * index)]),
    ...[...advance(LIST, 4 * AT_ONCE), ...advance(RESULTS, FLOAT64 * AT_ONCE)],
  ];
  return {
    parameters: [I32, I32, I32, I32, I32],
    results: [],
    locals: [I32, I32, ...COLUMNS.flatMap(() => [I32, ...PAIRS.map(() => V128), F64]), V128],
    code: whileBelow(LIST, LIST_END, some),
  };
}
