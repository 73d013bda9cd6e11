// WebAssembly that is written down instruction by instruction: JavaScript has no instructions for two numbers at once. Types and
// instructions with what follows them (webassembly.github.io/spec, "Binary format"), and the module around a function.

/** What of it is used; TypeScript knows it of browsers alone. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => WebAssemblyMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, unknown>> };
};

export interface WebAssemblyMemory {
  readonly buffer: ArrayBuffer;
}

const PAGE_BYTES = 2 ** 16;

export const I32 = 0x7f;
export const F64 = 0x7c;
export const V128 = 0x7b;

/** One function of a module that reads and writes one memory. */
export interface WebAssemblyFunction {
  readonly parameters: readonly number[];
  readonly results: readonly number[];
  /** Types, by index from the last parameter's on. */
  readonly locals: readonly number[];
  readonly code: readonly number[];
}

/** Zeros, of `bytes` at least. */
export function memoryOf(bytes: number): WebAssemblyMemory {
  return new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) });
}

/** The function on a memory; compiled once. */
export function compiledOnce<Call>(functionOf: () => WebAssemblyFunction): (memory: WebAssemblyMemory) => Call {
  let module: object | null = null;
  return (memory) => {
    module ??= new WebAssembly.Module(moduleBytes(functionOf()));
    return new WebAssembly.Instance(module, { here: { memory } }).exports.call as Call;
  };
}

export const get = (local: number) => [0x20, local];
export const set = (local: number) => [0x21, local];
/** −64 to 63. */
export const constantI32 = (value: number) => [0x41, value & 0x7f];
export const LOAD_I32 = [0x28, 2, 0];
export const STORE_I32 = [0x36, 2, 0];
export const ADD_I32 = [0x6a];
export const AND_I32 = [0x71];
export const SHIFT_LEFT_I32 = [0x74];
const LESS_I32 = [0x49];
export const LOAD_F64 = [0x2b, 3, 0];
export const LOAD_F32_AS_F64 = [0x2a, 2, 0, 0xbb];
export const storeF64 = (offset: number) => [0x39, 3, offset];
export const ADD_F64 = [0xa0];
export const MULTIPLY_F64 = [0xa2];
export const AT_MOST_F64 = [0x65];
export const ZERO_V128 = [0xfd, 0x0c, ...new Array<number>(16).fill(0)];
export const loadF64x2 = (offset: number) => [0xfd, 0, 3, offset];
export const storeF64x2 = (offset: number) => [0xfd, 0x0b, 3, offset];
/** One number in both lanes. */
export const LOAD_F64_TWICE = [0xfd, 0x0a, 3, 0];
export const TWICE_F64 = [0xfd, 0x14];
/** Two float32 as float64. */
export const loadF32x2AsF64x2 = (offset: number) => [0xfd, 0x5d, 3, offset, 0xfd, 0x5f];
export const ADD_F64X2 = [0xfd, 0xf0, 0x01];
export const SUBTRACT_F64X2 = [0xfd, 0xf1, 0x01];
export const MULTIPLY_F64X2 = [0xfd, 0xf2, 0x01];
export const laneOf = (local: number, lane: number) => [...get(local), 0xfd, 0x21, lane];

/** Adds bytes, −64 to 63, to an address. */
export function advance(address: number, bytes: number): number[] {
  return [...get(address), ...constantI32(bytes), ...ADD_I32, ...set(address)];
}

/** Repeats `step` while one address is below the other. */
export function whileBelow(address: number, end: number, step: readonly number[]): number[] {
  const loop = [0x03, 0x40];
  const ifTrue = [0x04, 0x40];
  return [...loop, ...get(address), ...get(end), ...LESS_I32, ...ifTrue, ...step, 0x0c, 1, 0x0b, 0x0b];
}

function moduleBytes({ parameters, results, locals, code }: WebAssemblyFunction): Uint8Array<ArrayBuffer> {
  const text = (name: string) => [name.length, ...new TextEncoder().encode(name)];
  /** Unsigned, below 2^14. */
  const size = (value: number) => (value < 128 ? [value] : [(value & 0x7f) | 0x80, value >> 7]);
  const section = (id: number, content: readonly number[]) => [id, ...size(content.length), ...content];
  const body = [locals.length, ...locals.flatMap((type) => [1, type]), ...code, 0x0b];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, parameters.length, ...parameters, results.length, ...results]),
    ...section(2, [1, ...text('here'), ...text('memory'), 2, 0, 0]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text('call'), 0, 0]),
    ...section(10, [1, ...size(body.length), ...body]),
  ]);
}
