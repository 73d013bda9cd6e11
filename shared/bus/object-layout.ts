// Where an object lies, in the layout of NATS object stores: chunks on `$O.<bucket>.C.<id of the upload>`, in the order of
// their sequences, and one message on `$O.<bucket>.M.<name>` that makes them an object. Stock tools list and get them.
import { randomBytes } from 'node:crypto';
import { OBJECTS_BUCKET } from './streams.ts';

/** Largest chunk; each is one message. */
export const CHUNK_BYTES = 512 * 1024;

export const ALL_CHUNKS = `$O.${OBJECTS_BUCKET}.C.>`;
export const ALL_OBJECTS = `$O.${OBJECTS_BUCKET}.M.>`;
const CHUNK_PREFIX = `$O.${OBJECTS_BUCKET}.C.`;
const UPLOAD = /^[A-Za-z0-9]{1,64}$/;
const DIGEST = /^[0-9a-f]{64}$/;

/** What the message of an object says. */
export interface ObjectInfo {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly chunks: number;
  readonly upload: string;
}

export function newUpload(): string {
  return randomBytes(16).toString('hex');
}

export const chunkSubject = (upload: string) => CHUNK_PREFIX + upload;
export const uploadOf = (subject: string) => subject.slice(CHUNK_PREFIX.length);
export const objectSubject = (digest: string) => `$O.${OBJECTS_BUCKET}.M.${base64Url(Buffer.from(digest))}`;

/** The JSON that stock tools read; `isDeleted` as they mark what is gone. */
export function encodeInfo({ digest, sizeBytes, chunks, upload }: ObjectInfo, isDeleted = false): Uint8Array {
  const info = {
    name: digest,
    bucket: OBJECTS_BUCKET,
    nuid: upload,
    size: isDeleted ? 0 : sizeBytes,
    chunks: isDeleted ? 0 : chunks,
    mtime: new Date().toISOString(),
    digest: isDeleted ? '' : `SHA-256=${base64Url(Buffer.from(digest, 'hex'))}`,
    options: { max_chunk_size: CHUNK_BYTES },
    ...(isDeleted && { deleted: true }),
  };
  return new TextEncoder().encode(JSON.stringify(info));
}

/** @returns null for an object that is gone, or that is none of ours. */
export function decodeInfo(data: Uint8Array): ObjectInfo | null {
  let info: Record<string, unknown>;
  try {
    info = JSON.parse(new TextDecoder().decode(data));
  } catch {
    return null;
  }
  const { name, nuid, size, chunks } = info;
  if (info.deleted === true || typeof name !== 'string' || !DIGEST.test(name)) return null;
  if (typeof nuid !== 'string' || !UPLOAD.test(nuid) || !isSize(size) || !isSize(chunks)) return null;
  return { digest: name, sizeBytes: size, chunks, upload: nuid };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function base64Url(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}
