// Inner products of the columns of one sub-layer's gradients, with the bits of `dot`: the same eight partial sums, two of them to a
// register. JavaScript has no instructions for two numbers at once, WebAssembly has: rearrangement takes a third of the time. The
// module is below, instruction by instruction.

/** What of it is used; TypeScript knows it of browsers alone. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

const FLOAT64 = Float64Array.BYTES_PER_ELEMENT;
const PAGE_BYTES = 2 ** 16;

/** [address of a, address of b, length] → inner product. */
type Product = (a: number, b: number, length: number) => number;

/** Columns in memory that the module reads, and one more of the caller's. Together at most 4 GiB. */
export class InnerProducts {
  /** [columns, rows]. */
  readonly columns: Float64Array;
  /** [rows], 0 at first. */
  readonly own: Float64Array;
  readonly #product: Product;

  /** @param columns [columns, rows], which are copied. */
  constructor(columns: Float64Array, rows: number) {
    const pages = Math.ceil(((columns.length + rows) * FLOAT64) / PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages });
    this.columns = new Float64Array(memory.buffer, 0, columns.length);
    this.columns.set(columns);
    this.own = new Float64Array(memory.buffer, columns.length * FLOAT64, rows);
    this.#product = new WebAssembly.Instance(module(), { here: { memory } }).exports.product as Product;
  }

  of(i: number, j: number): number {
    const rows = this.own.length;
    return this.#product(i * rows * FLOAT64, j * rows * FLOAT64, rows);
  }

  withOwn(i: number): number {
    const rows = this.own.length;
    return this.#product(i * rows * FLOAT64, this.columns.length * FLOAT64, rows);
  }
}

let compiled: object | null = null;

function module(): object {
  compiled ??= new WebAssembly.Module(moduleBytes());
  return compiled;
}

// Types, and instructions with what follows them (webassembly.github.io/spec, "Binary format").
const I32 = 0x7f;
const F64 = 0x7c;
const V128 = 0x7b;
const NO_RESULT = 0x40;
const LOOP = [0x03, NO_RESULT];
const IF = [0x04, NO_RESULT];
const AGAIN = [0x0c, 1];
const END = [0x0b];
const LESS = [0x49];
const AND = [0x71];
const ADD_I32 = [0x6a];
const TIMES_8 = [0x41, 3, 0x74];
const LOAD_F64 = [0x2b, 3, 0];
const ADD_F64 = [0xa0];
const MULTIPLY_F64 = [0xa2];
const ADD_F64X2 = [0xfd, 0xf0, 0x01];
const MULTIPLY_F64X2 = [0xfd, 0xf2, 0x01];
const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
/** −64 to 63. */
const constant = (value: number) => [0x41, value & 0x7f];
const loadF64x2 = (offset: number) => [0xfd, 0, 3, offset];
const laneOf = (local: number, lane: number) => [...get(local), 0xfd, 0x21, lane];

// Locals: the parameters, the address where a loop over a ends, the partial sums in pairs, and the first of them alone.
const [A, B, LENGTH, LAST] = [0, 1, 2, 3];
const PAIRS = [4, 5, 6, 7];
const FIRST = 8;

function productCode(): number[] {
  const advance = (bytes: readonly number[]) => [A, B].flatMap((at) => [...get(at), ...bytes, ...ADD_I32, ...set(at)]);
  const untilLast = (step: readonly number[]) => [
    ...LOOP,
    ...get(A),
    ...get(LAST),
    ...LESS,
    ...IF,
    ...step,
    ...AGAIN,
    ...END,
    ...END,
  ];
  /** `mask` picks a part of the length. */
  const setLast = (mask: number) => [get(A), get(LENGTH), constant(mask), AND, TIMES_8, ADD_I32, set(LAST)].flat();
  const pairs = PAIRS.flatMap((pair, i) =>
    [get(pair), get(A), loadF64x2(16 * i), get(B), loadF64x2(16 * i), MULTIPLY_F64X2, ADD_F64X2, set(pair)].flat(),
  );
  const single = [get(FIRST), get(A), LOAD_F64, get(B), LOAD_F64, MULTIPLY_F64, ADD_F64, set(FIRST)].flat();
  const pairSum = (pair: number) => [...laneOf(pair, 0), ...laneOf(pair, 1), ...ADD_F64];
  return [
    ...setLast(-8),
    ...untilLast([...pairs, ...advance([0x41, 0xc0, 0])]),
    ...[...laneOf(PAIRS[0], 0), ...set(FIRST)],
    ...setLast(7),
    ...untilLast([...single, ...advance(constant(8))]),
    // sum0 + sum1 + (sum2 + sum3) + (sum4 + sum5 + (sum6 + sum7))
    ...[...get(FIRST), ...laneOf(PAIRS[0], 1), ...ADD_F64],
    ...[...pairSum(PAIRS[1]), ...ADD_F64],
    ...[...pairSum(PAIRS[2]), ...pairSum(PAIRS[3]), ...ADD_F64, ...ADD_F64],
    ...END,
  ];
}

function moduleBytes(): Uint8Array<ArrayBuffer> {
  const text = (name: string) => [name.length, ...new TextEncoder().encode(name)];
  /** Unsigned, below 2^14. */
  const size = (value: number) => (value < 128 ? [value] : [(value & 0x7f) | 0x80, value >> 7]);
  const section = (id: number, content: readonly number[]) => [id, ...size(content.length), ...content];
  const locals = [3, 1, I32, PAIRS.length, V128, 1, F64];
  const code = [...locals, ...productCode()];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, I32, I32, I32, 1, F64]),
    ...section(2, [1, ...text('here'), ...text('memory'), 2, 0, 0]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text('product'), 0, 0]),
    ...section(10, [1, ...size(code.length), ...code]),
  ]);
}
