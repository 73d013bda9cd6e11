// Where a job keeps what its stages have finished: a folder (StateFiles) or the cluster's store. One conformance test runs
// over both.
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';

const STAGE_NAME = /^[a-z0-9-][a-z0-9.-]*(\/[a-z0-9-][a-z0-9.-]*)*$/;

export interface StoredTensors {
  readonly tensors: ReadonlyMap<string, NamedTensor>;
  readonly meta: Readonly<Record<string, unknown>>;
}

/** Values under names of parts of a-z, 0-9, "." and "-", joined by "/". A write is whole or not there, and is there when its
 * promise resolves. What is damaged counts as missing. */
export interface StageStore {
  /** The value stored under `name`, or null. The caller knows its type: whoever wrote it had the same fingerprint. */
  readJson<Value = unknown>(name: string): Promise<Value | null>;
  /** @throws RangeError on a number that is not finite; EspalierError "lease_lost" where the job went to another. */
  writeJson(name: string, value: unknown): Promise<void>;
  /** The tensors stored under `name` and what was stored with them, or null. */
  readTensors(name: string): Promise<StoredTensors | null>;
  writeTensors(name: string, tensors: readonly NamedTensor[], meta?: Readonly<Record<string, unknown>>): Promise<void>;
  /** `readTensors` for what is larger than memory should hold: writes the tensors to `file` as safetensors.
   * @returns what was stored with them, or null; then there may be a part of a file. */
  readTensorFile(name: string, file: string): Promise<StoredTensors['meta'] | null>;
  /** `writeTensors` of a safetensors file, which stays the caller's. */
  writeTensorFile(name: string, file: string, meta?: Readonly<Record<string, unknown>>): Promise<void>;
}

/** A job's stages and the folders that its outputs are written to before they are published. */
export interface JobHome extends StageStore {
  /** Folder, made when missing, whose content becomes the output of this budget. */
  staging(budget: string): Promise<string>;
  /** Folder, made when missing, for files that are needed while the job runs; removed with the job at the latest. */
  scratch(): Promise<string>;
}

/** Lets a name through only when it can be part of a path. @throws EspalierError "internal" otherwise. */
export function checkStageName(name: string): string {
  if (STAGE_NAME.test(name)) return name;
  throw new EspalierError('internal', `stage name: got ${name}, expected parts of a-z, 0-9, "." and "-"`);
}
