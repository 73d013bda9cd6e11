// The job API of a test: real gRPC servers over one real nats-server, and clients as programs have them.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { ClusterClient, type Job, type SubmitRequest, type SubmitResponse } from '../../cli/client/cluster-client.ts';
import { type ApiServer, startApiServer } from '../../coordinator/api/api-server.ts';
import { VolumeChecks } from '../../coordinator/campaign/check-volumes.ts';
import { openJobResources } from '../../coordinator/job-resources.ts';
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { SILENT_LOG } from '../../shared/log.ts';
import type { ListRequest } from '../../shared/rpc/generated/espalier/v1/ListRequest.ts';
import type { ListResponse__Output as ListResponse } from '../../shared/rpc/generated/espalier/v1/ListResponse.ts';
import { type ArtifactsClient, type BlobsClient, type JobsClient, protocol } from '../../shared/rpc/protocol.ts';
import { fromStatus } from '../../shared/rpc/status.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import type { Tracer } from '../../shared/telemetry/trace.ts';
import { JobWorld, type Seat } from './job-world.ts';

const MIB = 1024 * 1024;
const DEADLINE_MS = 20_000;

/** One coordinator's API and plain clients of it. */
export interface ApiSeat extends Seat {
  readonly server: ApiServer;
  /** Holds the folders of checks that run. */
  readonly scratch: string;
  readonly address: string;
  readonly jobs: JobsClient;
  readonly ask: ReturnType<typeof callsOf>;
  readonly blobs: BlobsClient;
  readonly artifacts: ArtifactsClient;
}

export class ApiWorld {
  readonly world: JobWorld;
  /** Folder of the volume "models", which all coordinators have. */
  readonly volume: string;
  readonly #folder: string;
  readonly #closes: (() => Promise<void> | void)[] = [];

  private constructor(world: JobWorld, folder: string) {
    this.world = world;
    this.volume = path.join(folder, 'models');
    this.#folder = folder;
    mkdirSync(this.volume);
  }

  static async open(): Promise<ApiWorld> {
    return new ApiWorld(await JobWorld.open(), mkdtempSync(path.join(tmpdir(), 'espalier-api-')));
  }

  /** What a coordinator checks with; what it has open is closed with the world. @param name of its own folders. */
  async volumeChecks(bus: Bus, name: string, timeoutMs?: number): Promise<{ checks: VolumeChecks; scratch: string }> {
    const volumes = new Map([['models', this.volume]]);
    const cacheDir = path.join(this.#folder, name);
    const resources = await openJobResources({ objects: bus.objects, cacheDir, cacheLimitBytes: 1e9, volumes });
    this.#closes.push(() => resources.readers.close());
    const scratch = path.join(cacheDir, 'checks');
    const newFolder = () => path.join(scratch, randomUUID());
    const checks = new VolumeChecks({ resources, newFolder, ...(timeoutMs !== undefined && { timeoutMs }) });
    return { checks, scratch };
  }

  async seat(
    options: {
      wrap?: (bus: Bus) => Bus;
      tls?: Tls | null;
      uploadSilenceMs?: number;
      checkMs?: number;
      tracer?: Tracer;
    } = {},
  ): Promise<ApiSeat> {
    const { wrap, tls = null, checkMs, ...rest } = options;
    const seat = await this.world.seat(wrap);
    const { store, bus } = seat;
    const volumes = new Set(['models']);
    const { checks: volumeChecks, scratch } = await this.volumeChecks(bus, randomUUID(), checkMs);
    const server = await startApiServer({
      host: '127.0.0.1',
      port: 0,
      store,
      bus,
      volumes,
      volumeChecks,
      tls,
      log: SILENT_LOG,
      ...rest,
    });
    const address = `127.0.0.1:${server.port}`;
    const { Jobs, Blobs, Artifacts } = protocol();
    const channel = {
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_send_message_length': 64 * MIB,
    };
    const insecure = credentials.createInsecure();
    const jobs = new Jobs(address, insecure, channel);
    const blobs = new Blobs(address, insecure, channel);
    const artifacts = new Artifacts(address, insecure, channel);
    this.#closes.push(async () => {
      for (const client of [jobs, blobs, artifacts]) client.close();
      await server.close();
    });
    return { ...seat, scratch, server, address, jobs, ask: callsOf(jobs), blobs, artifacts };
  }

  async client(addresses: readonly string[], signal = new AbortController().signal): Promise<ClusterClient> {
    const client = await ClusterClient.open({ addresses, tls: null }, signal);
    this.#closes.push(() => client.close());
    return client;
  }

  async close(): Promise<void> {
    for (let close = this.#closes.pop(); close !== undefined; close = this.#closes.pop()) await close();
    await this.world.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The calls with one request and one response. All throw EspalierError. */
function callsOf(jobs: JobsClient) {
  return {
    submit: unary<SubmitRequest, SubmitResponse>(jobs.submit.bind(jobs)),
    list: unary<ListRequest, ListResponse>(jobs.list.bind(jobs)),
    get: unary<{ id: string }, Job>(jobs.get.bind(jobs)),
    cancel: unary<{ id: string }, Job>(jobs.cancel.bind(jobs)),
    retry: unary<{ id: string }, Job>(jobs.retry.bind(jobs)),
    delete: unary<{ id: string }, object>(jobs.delete.bind(jobs)),
  };
}

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { deadline: number },
  callback: (error: ServiceError | null, response?: Response) => void,
) => unknown;

function unary<Request, Response>(method: Method<Request, Response>) {
  return (request: Request, metadata = new Metadata()): Promise<Response> =>
    new Promise((resolve, reject) => {
      method(request, metadata, { deadline: Date.now() + DEADLINE_MS }, (error, response) => {
        if (response === undefined) reject(fromStatus(error, 'the API'));
        else resolve(response);
      });
    });
}

export interface TestBlob {
  readonly bytes: Buffer;
  readonly digest: string;
  readonly sizeBytes: number;
}

export function blobOf(content: string | Buffer | number): TestBlob {
  const bytes = typeof content === 'number' ? randomBytes(content) : Buffer.from(content);
  return { bytes, digest: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.length };
}

/** Sends messages as one upload. @throws EspalierError. */
export function put(blobs: BlobsClient, messages: readonly object[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const upload = blobs.put({ deadline: Date.now() + DEADLINE_MS }, (error) => {
      if (error === null) resolve();
      else reject(fromStatus(error, 'the API'));
    });
    upload.on('error', () => {});
    for (const message of messages) upload.write(message);
    upload.end();
  });
}

export function upload(blobs: BlobsClient, { bytes, digest, sizeBytes }: TestBlob): Promise<void> {
  const chunks = [];
  for (let at = 0; at < bytes.length; at += MIB) chunks.push({ chunk: bytes.subarray(at, at + MIB) });
  return put(blobs, [{ header: { digest, sizeBytes } }, ...chunks]);
}

/** A model and a data set that only look like ones: the API never opens them. */
export function inputs(model: TestBlob, data: TestBlob) {
  const file = (name: string, { digest, sizeBytes }: TestBlob) => ({ name, digest, sizeBytes });
  return [
    { name: 'bert', files: [file('config.json', data), file('model.safetensors', model)] },
    { name: 'd.jsonl', files: [file('data.jsonl', data)] },
  ];
}

/** The code of the error that `promise` must fail with. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const caught = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  if (caught instanceof EspalierError) return caught.code;
  throw new Error(`got ${String(caught)}, expected an EspalierError`);
}
