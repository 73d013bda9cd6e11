// The job API as a program calls it, for tests that make more calls than a process each would be fast enough for.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { credentials, type ServiceError } from '@grpc/grpc-js';
import { dataFileName, isFileName } from '../../coordinator/jobs/file-names.ts';
import { type BlobsClient, CHUNK_BYTES, type JobsClient, protocol } from '../../shared/rpc/protocol.ts';
import type { Cluster } from './cluster.ts';

const DEADLINE_MS = 10_000;

export class JobsApi {
  readonly #client: JobsClient;
  readonly #blobs: BlobsClient;

  constructor(address: string) {
    const options = { 'grpc.enable_http_proxy': 0, 'grpc.use_local_subchannel_pool': 1 };
    this.#client = new (protocol().Jobs)(address, credentials.createInsecure(), options);
    this.#blobs = new (protocol().Blobs)(address, credentials.createInsecure(), options);
  }

  /** Uploads what a campaign in JSON names, and submits it. @returns the ids of its jobs. */
  async submit(clientKey: string, campaignJson: string): Promise<readonly string[]> {
    const { defaults = {}, jobs } = JSON.parse(campaignJson) as { defaults?: Inputs; jobs: Inputs[] };
    const names = new Set([defaults, ...jobs].flatMap(({ model, data, eval: dev }) => [model, data, dev]));
    const inputs = [...names].filter((name) => name !== undefined).map((name) => ({ name, files: filesOf(name) }));
    for (const { files } of inputs) for (const file of files) await this.#upload(file.digest, file.bytes);
    const sent = inputs.map(({ name, files }) => ({
      name,
      files: files.map(({ name: file, digest, bytes }) => ({ name: file, digest, sizeBytes: bytes.length })),
    }));
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + DEADLINE_MS;
      this.#client.submit({ clientKey, campaignJson, inputs: sent }, { deadline }, (error, answer) =>
        error ? reject(error) : resolve(answer?.jobs.map(({ id }) => id) ?? []),
      );
    });
  }

  /** Removes a job that has ended. @throws the error of the call. */
  delete(id: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + DEADLINE_MS;
      this.#client.delete({ id }, { deadline }, (error: ServiceError | null) => (error ? reject(error) : resolve()));
    });
  }

  /** How many jobs there are in these states, by one page. */
  count(states: readonly string[]): Promise<number> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + DEADLINE_MS;
      this.#client.list({ states: [...states], pageSize: 1000 }, { deadline }, (error, answer) =>
        error ? reject(error) : resolve(answer?.jobs.length ?? 0),
      );
    });
  }

  close(): void {
    this.#client.close();
    this.#blobs.close();
  }

  async #upload(digest: string, bytes: Buffer): Promise<void> {
    const missing = await new Promise<readonly string[]>((resolve, reject) => {
      this.#blobs.findMissing({ digests: [digest] }, { deadline: Date.now() + DEADLINE_MS }, (error, answer) =>
        error ? reject(error) : resolve(answer?.digests ?? []),
      );
    });
    if (missing.length === 0) return;
    await new Promise<void>((resolve, reject) => {
      const call = this.#blobs.put({ deadline: Date.now() + DEADLINE_MS }, (error) =>
        error ? reject(error) : resolve(),
      );
      call.write({ header: { digest, sizeBytes: bytes.length } });
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES)
        call.write({ chunk: bytes.subarray(at, at + CHUNK_BYTES) });
      call.end();
    });
  }
}

interface Inputs {
  readonly model?: string;
  readonly data?: string;
  readonly eval?: string;
}

function filesOf(input: string): { name: string; digest: string; bytes: Buffer }[] {
  const read = (file: string, name: string) => {
    const bytes = readFileSync(file);
    return { name, digest: createHash('sha256').update(bytes).digest('hex'), bytes };
  };
  if (statSync(input).isFile()) return [read(input, dataFileName(input))];
  const names = readdirSync(input).filter((name) => isFileName('model', name));
  return names.map((name) => read(path.join(input, name), name));
}

/** Submits a campaign file of `campaigns.ts`. @returns the ids of its jobs, in its order. */
export async function submit(cluster: Cluster, file: string, to?: string): Promise<readonly string[]> {
  const api = new JobsApi(cluster.clientAddress(to));
  try {
    return await api.submit(`test ${file}`, readFileSync(file, 'utf8'));
  } finally {
    api.close();
  }
}
