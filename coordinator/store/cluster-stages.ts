// What a cluster's job has finished so far: small JSON values in its record, tensors as safetensors in the object store with
// their digest in the record. A stage is stored when the record names it, and only then; what was put into the object
// store without that is nobody's and is collected.
import { stat, writeFile } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { readChunks } from '../../shared/blobs/blob-source.ts';
import type { ObjectBucket } from '../../shared/bus/bus.ts';
import { EspalierError, namingFile } from '../../shared/errors.ts';
import { decodeSafetensors, openSafetensors, safetensorsParts } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { StageEntry } from '../jobs/job-record.ts';
import { canonicalJson } from './fingerprint.ts';
import { checkStageName, type StageStore, type StoredTensors } from './stage-store.ts';

/** Larger values go into the object store. */
const INLINE_BYTES = 16 * 1024;
const INLINE_META_BYTES = 1024;
/** Of all stages in one record, which has room for inputs and results beside them. */
const RECORD_BYTES = 256 * 1024;
const CHUNK_BYTES = 512 * 1024;
/** What is read back was written by a coordinator; more than that no stage has. */
const MOST_BYTES = 2 ** 31;
/** Name of the one tensor of a JSON value that was too large, and key of the metadata of one that was. */
const JSON_TENSOR = 'json';
const META_KEY = 'meta';

type TensorsEntry = Extract<StageEntry, { kind: 'tensors' }>;

export interface ClusterStagesOptions {
  /** Stages that the record held when the job was claimed. */
  readonly stages: Readonly<Record<string, StageEntry>>;
  readonly objects: ObjectBucket;
  /** Names a stage in the record. */
  readonly commit: (name: string, entry: StageEntry) => Promise<void>;
  readonly onNotice: (text: string) => void;
  readonly signal?: AbortSignal;
}

export class ClusterStages implements StageStore {
  readonly #options: ClusterStagesOptions;
  readonly #entries: Map<string, StageEntry>;

  constructor(options: ClusterStagesOptions) {
    this.#options = options;
    this.#entries = new Map(Object.entries(options.stages));
  }

  async readJson<Value = unknown>(name: string): Promise<Value | null> {
    const entry = this.#entries.get(checkStageName(name));
    if (entry === undefined) return null;
    if (entry.kind === 'json') return structuredClone(entry.value) as Value;
    const read = await this.#read(name, entry);
    const bytes = read?.tensors.get(JSON_TENSOR)?.data;
    return bytes instanceof Uint8Array ? (JSON.parse(new TextDecoder().decode(bytes)) as Value) : null;
  }

  async writeJson(name: string, value: unknown): Promise<void> {
    const text = canonicalJson(value);
    if (Buffer.byteLength(text) <= INLINE_BYTES)
      return this.#commit(name, { kind: 'json', value: JSON.parse(text) as unknown });
    const data = new TextEncoder().encode(text);
    await this.#write(name, [{ name: JSON_TENSOR, dtype: 'U8', shape: [data.length], data }], {});
  }

  async readTensors(name: string): Promise<StoredTensors | null> {
    const entry = this.#entries.get(checkStageName(name));
    return entry?.kind === 'tensors' ? this.#read(name, entry) : null;
  }

  writeTensors(
    name: string,
    tensors: readonly NamedTensor[],
    meta: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    return this.#write(name, tensors, meta);
  }

  async readTensorFile(name: string, file: string): Promise<StoredTensors['meta'] | null> {
    const entry = this.#entries.get(checkStageName(name));
    if (entry?.kind !== 'tensors') return null;
    return this.#undamaged(name, async () => {
      const { objects, signal } = this.#options;
      await writeWhole(file, objects.open(entry.digest, signal));
      const { metadata, close } = await openSafetensors(file, name);
      await close();
      return metaOf(entry, metadata);
    });
  }

  async writeTensorFile(name: string, file: string, meta: Readonly<Record<string, unknown>> = {}): Promise<void> {
    checkStageName(name);
    const text = canonicalJson(meta);
    if (Buffer.byteLength(text) > INLINE_META_BYTES)
      throw new EspalierError('internal', `${name}: got ${text.length} of metadata, expected ${INLINE_META_BYTES}`);
    const { objects, signal } = this.#options;
    signal?.throwIfAborted();
    const { size } = await stat(file);
    const digest = await objects.add(size, readChunks(file), signal);
    await this.#commit(name, {
      kind: 'tensors',
      digest,
      sizeBytes: size,
      meta: JSON.parse(text) as TensorsEntry['meta'],
    });
  }

  #read(name: string, entry: TensorsEntry): Promise<StoredTensors | null> {
    return this.#undamaged(name, async () => {
      const bytes = await this.#download(entry.digest, entry.sizeBytes);
      const { tensors, metadata } = decodeSafetensors(bytes, name);
      return { tensors, meta: metaOf(entry, metadata) };
    });
  }

  /** What is damaged counts as missing. */
  async #undamaged<Value>(name: string, read: () => Promise<Value>): Promise<Value | null> {
    try {
      return await read();
    } catch (caught) {
      const isDamage =
        caught instanceof SyntaxError ||
        (caught instanceof EspalierError && ['blob_missing', 'blob_corrupt', 'model_format'].includes(caught.code));
      if (!isDamage) throw caught;
      this.#options.onNotice(`stored ${name} is damaged and is computed again`);
      this.#entries.delete(name);
      return null;
    }
  }

  async #download(digest: string, sizeBytes: number): Promise<Uint8Array> {
    if (!(Number.isSafeInteger(sizeBytes) && sizeBytes >= 0 && sizeBytes <= MOST_BYTES))
      throw new EspalierError('blob_corrupt', `${digest}: got a size of ${sizeBytes} bytes`);
    const bytes = new Uint8Array(sizeBytes);
    let filled = 0;
    for await (const chunk of this.#options.objects.open(digest, this.#options.signal)) {
      if (filled + chunk.byteLength > sizeBytes)
        throw new EspalierError('blob_corrupt', `${digest}: got more than ${sizeBytes} bytes`);
      bytes.set(chunk, filled);
      filled += chunk.byteLength;
    }
    if (filled !== sizeBytes)
      throw new EspalierError('blob_corrupt', `${digest}: got ${filled} bytes, expected ${sizeBytes}`);
    return bytes;
  }

  async #write(name: string, tensors: readonly NamedTensor[], meta: StoredTensors['meta']): Promise<void> {
    checkStageName(name);
    const metaText = canonicalJson(meta);
    const isInline = Buffer.byteLength(metaText) <= INLINE_META_BYTES;
    const parts = safetensorsParts(tensors, isInline ? {} : { [META_KEY]: metaText });
    const sizeBytes = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const { objects, signal } = this.#options;
    // With the reason, which an upload that is cut off does not tell.
    signal?.throwIfAborted();
    const digest = await objects.add(sizeBytes, chunksOf(parts), signal);
    const inlined = isInline ? (JSON.parse(metaText) as StoredTensors['meta']) : {};
    await this.#commit(name, { kind: 'tensors', digest, sizeBytes, meta: inlined });
  }

  async #commit(name: string, entry: StageEntry): Promise<void> {
    const next = new Map(this.#entries).set(checkStageName(name), entry);
    const bytes = Buffer.byteLength(JSON.stringify(Object.fromEntries(next)));
    if (bytes > RECORD_BYTES)
      throw new EspalierError(
        'limit_exceeded',
        `${name}: got ${bytes} bytes of stages with it, the record of a job holds ${RECORD_BYTES}`,
        { action: 'split the job: fewer budgets a job' },
      );
    await this.#options.commit(name, entry);
    this.#entries.set(name, entry);
  }
}

function metaOf(entry: TensorsEntry, metadata: Readonly<Record<string, string>>): StoredTensors['meta'] {
  const own = metadata[META_KEY];
  return own === undefined ? entry.meta : (JSON.parse(own) as StoredTensors['meta']);
}

async function writeWhole(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    await writeFile(file, chunks);
  } catch (caught) {
    throw namingFile(file, caught);
  }
}

// Large stages would keep the process from renewing its leases: the loop gets a turn after every chunk.
async function* chunksOf(parts: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  for (const part of parts)
    for (let start = 0; start < part.byteLength; start += CHUNK_BYTES) {
      if (start > 0) await nextTurn();
      yield part.subarray(start, start + CHUNK_BYTES);
    }
}
