// The header of a safetensors file: JSON that gives each tensor's dtype, shape and place. Whatever passes parseHeader
// is sound: every tensor lies in the file, none overlaps another, and together they cover all of it.
// Format: https://huggingface.co/docs/safetensors

import { EspalierError } from './errors.ts';
import { isJsonObject } from './json-object.ts';
import { DTYPE_BYTES, type DType, elementCount } from './tensor.ts';

/** Element types that a file may hold; those beyond DType are read as raw bytes only. */
export type StoredDType = DType | 'I16' | 'I8' | 'BOOL';

/** Bytes of one stored element. */
export const STORED_DTYPE_BYTES: Readonly<Record<StoredDType, number>> = { ...DTYPE_BYTES, I16: 2, I8: 1, BOOL: 1 };

/** One tensor's line of the header. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** First byte of the data, counted from the start of the file. */
  readonly begin: number;
  readonly bytes: number;
}

export interface Header {
  /** In the order of the header, except that names which are whole numbers come first, as JSON.parse has it. */
  readonly entries: readonly HeaderEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Bytes before the JSON: its length as an unsigned 64-bit number. */
export const LENGTH_BYTES = 8;
const MAX_HEADER_BYTES = 100_000_000;
const METADATA_KEY = '__metadata__';

/** Length of the JSON that follows the first 8 bytes.
 * @throws EspalierError "model_format" when it cannot fit the file or is over 100 MB. */
export function parseHeaderLength(first: Uint8Array, fileBytes: number, file: string): number {
  if (first.byteLength < LENGTH_BYTES)
    throw malformed(`${file}: got ${fileBytes} bytes, expected a header of at least ${LENGTH_BYTES}`);
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  const room = Math.min(MAX_HEADER_BYTES, fileBytes - LENGTH_BYTES);
  if (length > BigInt(room))
    throw malformed(`${file}: got a header of ${length} bytes, expected at most ${room} in a file of ${fileBytes}`);
  return Number(length);
}

/** Reads and checks the JSON of a header.
 * @param json the header without its length.
 * @param fileBytes size of the whole file.
 * @param file what messages call the file.
 * @throws EspalierError "model_format", as `file: tensor: got …, expected …`. */
export function parseHeader(json: Uint8Array, fileBytes: number, file: string): Header {
  const parsed = parseJson(json, file);
  const dataStart = LENGTH_BYTES + json.byteLength;
  const dataBytes = fileBytes - dataStart;
  const entries: HeaderEntry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(parsed)) {
    if (name === METADATA_KEY) metadata = checkMetadata(value, file);
    else entries.push(checkEntry(name, value, dataStart, dataBytes, file));
  }
  checkCoverage(entries, dataStart, dataBytes, file);
  return { entries, metadata };
}

/** What buildHeader needs to know of a tensor. */
export interface TensorDescription {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
}

/** Builds the first bytes of a file and places each tensor after them. The header lists the tensors as given; their
 * data is placed by falling element size, in the given order within one size, so that every tensor is aligned to its
 * elements although the format allows no gaps. The JSON is padded with spaces to a multiple of 8 bytes.
 * @returns the bytes up to the data, and `placed` in the order of the data. */
export function buildHeader<T extends TensorDescription>(
  tensors: readonly T[],
  metadata: Readonly<Record<string, string>>,
): { head: Uint8Array; placed: readonly T[]; fileBytes: number } {
  const placed = [...tensors].sort((a, b) => STORED_DTYPE_BYTES[b.dtype] - STORED_DTYPE_BYTES[a.dtype]);
  const offsets = new Map<string, [number, number]>();
  let end = 0;
  for (const { name, dtype, shape } of placed) {
    if (offsets.has(name) || name === METADATA_KEY)
      throw new EspalierError(
        'internal',
        `${name}: got a tensor's name twice or a reserved one, expected unique names`,
      );
    const begin = end;
    end += elementCount(shape) * STORED_DTYPE_BYTES[dtype];
    offsets.set(name, [begin, end]);
  }
  // Joined by hand because an object would move names that are whole numbers to the front.
  const lines = tensors.map(
    ({ name, dtype, shape }) =>
      `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: offsets.get(name) })}`,
  );
  if (Object.keys(metadata).length > 0) lines.unshift(`"${METADATA_KEY}":${JSON.stringify(metadata)}`);
  const json = new TextEncoder().encode(`{${lines.join(',')}}`);
  const paddedBytes = Math.ceil(json.byteLength / 8) * 8;
  const head = new Uint8Array(LENGTH_BYTES + paddedBytes).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(paddedBytes), true);
  head.set(json, LENGTH_BYTES);
  return { head, placed, fileBytes: head.byteLength + end };
}

function parseJson(json: Uint8Array, file: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch (cause) {
    throw malformed(`${file}: got a header that is no JSON (${(cause as Error).message}), expected an object`, cause);
  }
  if (!isJsonObject(parsed)) throw malformed(`${file}: got a header that is no JSON object, expected one`);
  return parsed;
}

function checkMetadata(value: unknown, file: string): Record<string, string> {
  if (!isJsonObject(value) || Object.values(value).some((text) => typeof text !== 'string'))
    throw malformed(`${file}: ${METADATA_KEY}: got ${JSON.stringify(value)}, expected an object of strings`);
  return value as Record<string, string>;
}

function checkEntry(name: string, value: unknown, dataStart: number, dataBytes: number, file: string): HeaderEntry {
  const at = `${file}: ${name}`;
  const { dtype, shape, data_offsets: offsets } = isJsonObject(value) ? value : {};
  if (typeof dtype !== 'string' || !Object.hasOwn(STORED_DTYPE_BYTES, dtype))
    throw malformed(`${at}: got dtype ${show(dtype)}, expected one of ${Object.keys(STORED_DTYPE_BYTES).join(', ')}`);
  if (!isSizes(shape)) throw malformed(`${at}: got shape ${show(shape)}, expected whole numbers of 0 or more`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1])
    throw malformed(`${at}: got data_offsets ${show(offsets)}, expected [begin, end]`);
  const [begin, end] = offsets;
  const bytes = elementCount(shape) * STORED_DTYPE_BYTES[dtype as StoredDType];
  if (!Number.isSafeInteger(bytes) || end - begin !== bytes)
    throw malformed(`${at}: got ${end - begin} bytes, expected ${bytes} for ${dtype} [${shape.join(',')}]`);
  if (end > dataBytes)
    throw malformed(`${at}: got data_offsets [${begin},${end}], expected at most ${dataBytes}; the file is cut short`);
  return { name, dtype: dtype as StoredDType, shape, begin: dataStart + begin, bytes };
}

function checkCoverage(entries: readonly HeaderEntry[], dataStart: number, dataBytes: number, file: string): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.bytes - b.bytes);
  let end = dataStart;
  for (const { name, begin, bytes } of sorted) {
    if (begin !== end) {
      const what = begin < end ? 'an overlap with another tensor' : 'a gap before it';
      throw malformed(`${file}: ${name}: got ${what}, begin ${begin - dataStart}, expected begin ${end - dataStart}`);
    }
    end += bytes;
  }
  if (end !== dataStart + dataBytes)
    throw malformed(`${file}: got ${dataBytes} bytes of data, expected the ${end - dataStart} of its tensors`);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function show(value: unknown): string {
  return value === undefined ? 'none' : JSON.stringify(value);
}

function malformed(message: string, cause?: unknown): EspalierError {
  return new EspalierError('model_format', message, { cause });
}
