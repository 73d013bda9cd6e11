// Safetensors, the format of every stored tensor: checkpoints, blobs, a job's state. In memory and in files; a file is
// read and written one tensor at a time, so that a large model is never wholly in memory.
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { EspalierError, namingFile } from './errors.ts';
import {
  buildHeader,
  type HeaderEntry,
  LENGTH_BYTES,
  parseHeader,
  parseHeaderLength,
  STORED_DTYPE_BYTES,
  type StoredDType,
} from './safetensors-header.ts';
import { elementCount, isDType, type NamedTensor, viewAs } from './tensor.ts';

const PIECE_BYTES = 4 * 2 ** 20;

/** Encodes tensors as one safetensors file.
 * @throws EspalierError "internal" when a tensor's data does not fit its shape or a name comes twice. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const parts = safetensorsParts(tensors, metadata);
  const bytes = new Uint8Array(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.byteLength;
  }
  return bytes;
}

/** The bytes of `encodeSafetensors` in pieces, one after the other, without a copy of the tensors.
 * @throws EspalierError as it does. */
export function safetensorsParts(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const { head, placed } = buildHeader(tensors, metadata);
  return [
    head,
    ...placed.map((tensor) => {
      const { data } = tensor;
      checkLength(tensor, data.byteLength);
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    }),
  ];
}

/** Decodes a whole safetensors file. The tensors are views of `bytes` where they are aligned and copies elsewhere.
 * @param label what messages call the file.
 * @throws EspalierError "model_format". */
export function decodeSafetensors(
  bytes: Uint8Array,
  label: string,
): { tensors: Map<string, NamedTensor>; metadata: Readonly<Record<string, string>> } {
  const headerBytes = parseHeaderLength(bytes.subarray(0, LENGTH_BYTES), bytes.byteLength, label);
  const json = bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + headerBytes);
  const { entries, metadata } = parseHeader(json, bytes.byteLength, label);
  const tensors = new Map<string, NamedTensor>();
  for (const { name, dtype, shape, begin, bytes: size } of entries) {
    if (!isDType(dtype)) throw new EspalierError('model_format', `${label}: ${name}: got ${dtype}, expected a DType`);
    tensors.set(name, { name, dtype, shape, data: viewAs(dtype, bytes.subarray(begin, begin + size)) });
  }
  return { tensors, metadata };
}

/** A tensor to be written, whose bytes are asked for when its turn comes. */
export interface SafetensorsSource {
  readonly name: string;
  readonly dtype: StoredDType;
  readonly shape: readonly number[];
  /** The little-endian elements; in pieces, each is done with before the next is asked for. */
  read(): Uint8Array | Promise<Uint8Array> | AsyncIterable<Uint8Array>;
}

export interface WriteOptions {
  /** The file is not synced to the disk: nobody would look for it after a crash. */
  readonly isScratch?: boolean;
  /** Given all bytes of the file as well, in order; they are good until it resolves. */
  readonly also?: (bytes: Uint8Array) => Promise<void>;
}

/** Writes a safetensors file tensor by tensor and syncs it to the disk. A file that could not be finished is removed.
 * @returns the SHA-256 (hexadecimal) and the size of the file.
 * @throws EspalierError "internal" when a tensor's bytes do not fit its shape; errors of the file system as they are. */
export async function writeSafetensors(
  path: string,
  sources: readonly SafetensorsSource[],
  metadata: Readonly<Record<string, string>> = {},
  { isScratch = false, also }: WriteOptions = {},
): Promise<{ sha256: string; bytes: number }> {
  const { head, placed, fileBytes } = buildHeader(sources, metadata);
  const hash = createHash('sha256');
  const handle = await open(path, 'w');
  try {
    // In pieces: to hash a large tensor at once would hold up all else that the process does.
    const append = async (bytes: Uint8Array) => {
      for (let from = 0; from < bytes.byteLength; from += PIECE_BYTES) {
        const piece = bytes.subarray(from, from + PIECE_BYTES);
        const underway = [writeAll(handle, piece), also?.(piece)];
        hash.update(piece);
        await Promise.all(underway);
      }
    };
    await append(head);
    for (const source of placed) {
      const content = await source.read();
      if (content instanceof Uint8Array) {
        checkLength(source, content.byteLength);
        await append(content);
        continue;
      }
      let bytes = 0;
      for await (const piece of content) {
        bytes += piece.byteLength;
        await append(piece);
      }
      checkLength(source, bytes);
    }
    if (!isScratch) await handle.sync();
  } catch (error) {
    await handle.close();
    await rm(path, { force: true });
    throw namingFile(path, error);
  }
  await handle.close();
  return { sha256: hash.digest('hex'), bytes: fileBytes };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.byteLength; )
    written += (await handle.write(bytes, written, bytes.byteLength - written)).bytesWritten;
}

/** A tensor of an open file. */
export interface SafetensorsEntry extends HeaderEntry {
  /** All of the tensor's bytes, in memory of their own. @throws EspalierError "model_format" when the file ends early. */
  read(): Promise<Uint8Array>;
  /** The same, blocking. */
  readSync(): Uint8Array;
  /** Fills `target`, which is as long as the tensor, with all of its bytes; blocking. */
  readIntoSync(target: Uint8Array): void;
  /** Fills `target` with the bytes from `offset` of the tensor on. */
  readInto(target: Uint8Array, offset: number): Promise<void>;
}

/** An open file; whoever opened it closes it. */
export interface SafetensorsFile {
  readonly entries: ReadonlyMap<string, SafetensorsEntry>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fileBytes: number;
  close(): Promise<void>;
}

/** Opens a safetensors file, reading and checking its header only.
 * @param label what messages call the file.
 * @throws EspalierError "model_format"; errors of the file system as they are. */
export async function openSafetensors(path: string, label: string = path): Promise<SafetensorsFile> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const first = new Uint8Array(Math.min(LENGTH_BYTES, size));
    await fill(handle, first, 0, label);
    const json = new Uint8Array(parseHeaderLength(first, size, label));
    await fill(handle, json, LENGTH_BYTES, label);
    const { entries, metadata } = parseHeader(json, size, label);
    return {
      entries: new Map(entries.map((entry) => [entry.name, lazyEntry(handle, entry, label)])),
      metadata,
      fileBytes: size,
      close: () => handle.close(),
    };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Some bytes of a file, blocking: for a small part of a file that the system has in memory.
 * @param part says which, from the place of a tensor, where the file has it; may throw. @returns the bytes, in memory of their own.
 * @throws EspalierError "model_format"; what `part` throws; errors of the file system as they are. */
export function readTensorSync(
  path: string,
  label: string,
  name: string,
  part: (entry: HeaderEntry | undefined) => Pick<HeaderEntry, 'begin' | 'bytes'>,
): Uint8Array {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const first = new Uint8Array(Math.min(LENGTH_BYTES, size));
    fillSync(file, first, 0, label);
    const json = new Uint8Array(parseHeaderLength(first, size, label));
    fillSync(file, json, LENGTH_BYTES, label);
    const entry = parseHeader(json, size, label).entries.find((own) => own.name === name);
    const { begin, bytes } = part(entry);
    const target = new Uint8Array(bytes);
    fillSync(file, target, begin, `${label}: ${name}`);
    return target;
  } finally {
    closeSync(file);
  }
}

function lazyEntry(handle: FileHandle, entry: HeaderEntry, label: string): SafetensorsEntry {
  const at = `${label}: ${entry.name}`;
  return {
    ...entry,
    async read() {
      const bytes = new Uint8Array(entry.bytes);
      await fill(handle, bytes, entry.begin, at);
      return bytes;
    },
    readSync() {
      const bytes = new Uint8Array(entry.bytes);
      fillSync(handle.fd, bytes, entry.begin, at);
      return bytes;
    },
    readIntoSync(target) {
      if (target.byteLength !== entry.bytes)
        throw new EspalierError('internal', `${at}: got ${target.byteLength} bytes to fill, expected ${entry.bytes}`);
      fillSync(handle.fd, target, entry.begin, at);
    },
    readInto: (target, offset) => fill(handle, target, entry.begin + offset, at),
  };
}

// One read of more than 2 GiB is refused by Node.
const MAX_READ_BYTES = 2 ** 30;

async function fill(handle: FileHandle, target: Uint8Array, position: number, at: string): Promise<void> {
  for (let done = 0; done < target.byteLength; ) {
    const count = Math.min(target.byteLength - done, MAX_READ_BYTES);
    const { bytesRead } = await handle.read(target, done, count, position + done);
    if (bytesRead === 0) throw endsEarly(at, done, target.byteLength);
    done += bytesRead;
  }
}

function fillSync(file: number, target: Uint8Array, position: number, at: string): void {
  for (let done = 0; done < target.byteLength; ) {
    const count = Math.min(target.byteLength - done, MAX_READ_BYTES);
    const got = readSync(file, target, done, count, position + done);
    if (got === 0) throw endsEarly(at, done, target.byteLength);
    done += got;
  }
}

function endsEarly(at: string, got: number, expected: number): EspalierError {
  return new EspalierError('model_format', `${at}: got ${got} bytes, expected ${expected}; the file was cut short`);
}

function checkLength(tensor: Omit<SafetensorsSource, 'read'>, got: number): void {
  const expected = elementCount(tensor.shape) * STORED_DTYPE_BYTES[tensor.dtype];
  if (got !== expected)
    throw new EspalierError('internal', `${tensor.name}: got ${got} bytes, expected ${expected} for its shape`);
}
