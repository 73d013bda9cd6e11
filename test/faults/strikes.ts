// What faults do to blobs, wherever one lies.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { JobRecord, StageEntry } from '../../coordinator/jobs/job-record.ts';
import { corruptObject, rawNats } from '../support/raw-nats.ts';
import type { Strike } from './fault-bench.ts';

/** Digests of the weights that the job was given. */
export function weightDigests({ spec }: JobRecord): readonly string[] {
  assert.equal(spec.model.kind, 'blobs');
  const files = spec.model.kind === 'blobs' ? spec.model.files : [];
  return files.filter(({ name }) => name.endsWith('.safetensors')).map(({ digest }) => digest);
}

/** The stored tensors of the job's stages, by the stages' names. */
export function stageBlobs({ stages }: JobRecord): ReadonlyMap<string, string> {
  const isTensors = (entry: StageEntry) => entry.kind === 'tensors';
  const found = Object.entries(stages).filter(([, entry]) => isTensors(entry));
  return new Map(found.map(([name, entry]) => [name, entry.kind === 'tensors' ? entry.digest : '']));
}

/** Flips a bit of a blob in a folder of blobs. @returns whether it was there. */
export function corruptCached(folder: string, digest: string): boolean {
  const file = path.join(folder, 'sha256', digest.slice(0, 2), digest.slice(2));
  if (!existsSync(file)) return false;
  // In place: whoever has the file open sees it, too.
  const handle = openSync(file, 'r+');
  const at = Math.floor(statSync(file).size / 2);
  const byte = Buffer.alloc(1);
  readSync(handle, byte, 0, 1, at);
  writeSync(handle, Buffer.from([byte[0] ^ 1]), 0, 1, at);
  closeSync(handle);
  return true;
}

/** Damages all that the job's stages have stored, and kills its coordinator, so that another has to read it. */
export async function corruptStagesAndKill({ cluster, watch, job, owner }: Strike): Promise<void> {
  const digests = new Set(stageBlobs(watch.record(job)).values());
  assert.ok(digests.size > 0, 'stages have stored tensors');
  const connection = await rawNats(cluster);
  try {
    for (const digest of digests) await corruptObject(connection, digest);
  } finally {
    await connection.close();
  }
  await owner.kill();
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
