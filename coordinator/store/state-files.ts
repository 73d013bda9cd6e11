// What a job has finished so far, as files of one folder: JSON values and sets of tensors under the names of stages.
// Every file carries a digest; one that is cut short, changed or of another schema counts as missing and is told of.
import { createHash } from 'node:crypto';
import { copyFile, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { blobOfFile } from '../../shared/blobs/blob-source.ts';
import { namingFile } from '../../shared/errors.ts';
import { decodeSafetensors, encodeSafetensors } from '../../shared/safetensors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import { writeFileAtomically } from './atomic-file.ts';
import { canonicalJson } from './fingerprint.ts';
import { checkStageName, type StageStore, type StoredTensors } from './stage-store.ts';

/** Version of everything under the state folder; raised when an older program could not read it rightly. */
export const STATE_SCHEMA = 1;

interface TensorsRecord {
  readonly sha256: string;
  readonly meta: Readonly<Record<string, unknown>>;
}

export class StateFiles implements StageStore {
  readonly #folder: string;
  readonly #onNotice: (text: string) => void;

  constructor(folder: string, onNotice: (text: string) => void) {
    this.#folder = folder;
    this.#onNotice = onNotice;
  }

  /** True when the stage stored tensors or JSON that can be read back. */
  async has(stage: string): Promise<boolean> {
    return (await this.readJson(stage)) !== null || (await this.readTensors(stage)) !== null;
  }

  /** The value stored under `name`, or null. The caller knows its type: whoever wrote it had the same fingerprint. */
  readJson<Value = unknown>(name: string): Promise<Value | null> {
    return this.#readEnvelope<Value>(this.#path(name, '.json'), name);
  }

  /** @throws RangeError on a number that is not finite. */
  async writeJson(name: string, value: unknown): Promise<void> {
    const body = canonicalJson(value);
    const envelope = `{"schema":${STATE_SCHEMA},"sha256":"${sha256(body)}","body":${body}}\n`;
    await writeFileAtomically(this.#path(name, '.json'), [envelope]);
  }

  /** The tensors stored under `stage` and what was stored with them, or null. */
  async readTensors(stage: string): Promise<StoredTensors | null> {
    const record = await this.#readRecord(stage);
    const bytes = record === null ? null : await readIfThere(this.#path(stage, tensorsSuffix(record.sha256)));
    if (record === null || bytes === null) return null;
    if (sha256(bytes) !== record.sha256) return this.#damaged(stage);
    return { tensors: decodeSafetensors(bytes, stage).tensors, meta: record.meta };
  }

  async writeTensors(
    stage: string,
    tensors: readonly NamedTensor[],
    meta: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    const bytes = encodeSafetensors(tensors);
    await this.#write(stage, sha256(bytes), [bytes], meta);
  }

  async readTensorFile(stage: string, file: string): Promise<StoredTensors['meta'] | null> {
    const record = await this.#readRecord(stage);
    if (record === null) return null;
    try {
      await copyFile(this.#path(stage, tensorsSuffix(record.sha256)), file);
    } catch (caught) {
      if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw namingFile(file, caught);
    }
    return (await blobOfFile(file)).digest === record.sha256 ? record.meta : this.#damaged(stage);
  }

  async writeTensorFile(stage: string, file: string, meta: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const { digest, open } = await blobOfFile(file);
    await this.#write(stage, digest, [open()], meta);
  }

  async #write(
    stage: string,
    digest: string,
    chunks: Parameters<typeof writeFileAtomically>[1],
    meta: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    const before = await this.#readRecord(stage);
    await writeFileAtomically(this.#path(stage, tensorsSuffix(digest)), chunks);
    // The record comes last and names its tensors: until it is there, the ones before them count.
    await this.writeJson(`${stage}.tensors`, { sha256: digest, meta } satisfies TensorsRecord);
    if (before !== null && before.sha256 !== digest)
      await rm(this.#path(stage, tensorsSuffix(before.sha256)), { force: true });
  }

  #readRecord(stage: string): Promise<TensorsRecord | null> {
    return this.#readEnvelope<TensorsRecord>(this.#path(stage, '.tensors.json'), stage);
  }

  async #readEnvelope<Body>(path: string, name: string): Promise<Body | null> {
    const bytes = await readIfThere(path);
    if (bytes === null) return null;
    try {
      const { schema, sha256: digest, body } = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
      if (schema === STATE_SCHEMA && sha256(canonicalJson(body)) === digest) return body as Body;
    } catch {
      // Not JSON: cut short or overwritten, and reported as damaged below.
    }
    return this.#damaged(name);
  }

  #damaged(name: string): null {
    this.#onNotice(`stored ${name} is damaged and is computed again`);
    return null;
  }

  #path(name: string, suffix: string): string {
    return join(this.#folder, checkStageName(name) + suffix);
  }
}

/** Every version of a stage's tensors has a file of its own, so that writing one never harms the one before. */
function tensorsSuffix(digest: string): string {
  return `.${digest.slice(0, 16)}.safetensors`;
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

async function readIfThere(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw caught;
  }
}
