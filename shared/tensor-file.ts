// A safetensors file that is filled in any order, for tensors that are larger than memory should hold: every tensor has its
// place from the start. Whoever created it closes and removes it.
import { type FileHandle, open, rm } from 'node:fs/promises';
import { EspalierError, namingFile } from './errors.ts';
import { buildHeader, STORED_DTYPE_BYTES, type TensorDescription } from './safetensors-header.ts';
import { elementCount } from './tensor.ts';

interface Place {
  readonly begin: number;
  readonly bytes: number;
}

export class TensorFile {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #places: ReadonlyMap<string, Place>;

  private constructor(path: string, handle: FileHandle, places: ReadonlyMap<string, Place>) {
    this.path = path;
    this.#handle = handle;
    this.#places = places;
  }

  /** A file of its whole size, zero but for the header. @throws EspalierError "disk_full", "internal" for a name twice. */
  static async create(path: string, tensors: readonly TensorDescription[]): Promise<TensorFile> {
    const { head, placed, fileBytes } = buildHeader(tensors, {});
    const places = new Map<string, Place>();
    let begin = head.byteLength;
    for (const { name, dtype, shape } of placed) {
      const bytes = elementCount(shape) * STORED_DTYPE_BYTES[dtype];
      places.set(name, { begin, bytes });
      begin += bytes;
    }
    const handle = await open(path, 'w+');
    const file = new TensorFile(path, handle, places);
    try {
      await file.#writeAt(0, head);
      await handle.truncate(fileBytes);
    } catch (caught) {
      await file.remove();
      throw namingFile(path, caught);
    }
    return file;
  }

  /** Puts bytes into a tensor, from `offset` of it on. @throws EspalierError "disk_full", "internal" beyond the tensor. */
  async write(name: string, offset: number, bytes: Uint8Array): Promise<void> {
    const begin = this.#placeOf(name, offset, bytes.byteLength);
    try {
      await this.#writeAt(begin, bytes);
    } catch (caught) {
      throw namingFile(this.path, caught);
    }
  }

  /** Fills `target` with the bytes from `offset` of the tensor on. */
  async readInto(name: string, offset: number, target: Uint8Array): Promise<void> {
    const begin = this.#placeOf(name, offset, target.byteLength);
    for (let done = 0; done < target.byteLength; ) {
      const { bytesRead } = await this.#handle.read(target, done, target.byteLength - done, begin + done);
      if (bytesRead === 0) throw new EspalierError('internal', `${this.path}: ${name}: the file was cut short`);
      done += bytesRead;
    }
  }

  /** When what is being written is done. What is written afterwards fails. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** Closes and removes it. */
  async remove(): Promise<void> {
    await this.#handle.close();
    await rm(this.path, { force: true });
  }

  async #writeAt(begin: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done, begin + done);
      done += bytesWritten;
    }
  }

  #placeOf(name: string, offset: number, bytes: number): number {
    const place = this.#places.get(name);
    if (place === undefined || offset < 0 || offset + bytes > place.bytes)
      throw new EspalierError(
        'internal',
        `${this.path}: ${name}: got bytes ${offset} to ${offset + bytes}, expected at most ${place?.bytes ?? 0}`,
      );
    return place.begin + offset;
  }
}
