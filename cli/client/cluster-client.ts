// The job API as the commands call it: over one connection at a time, to the first coordinator of the list that answers.
// All calls can be sent twice: one whose answer was lost is sent again, to the next coordinator.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { CallOptions, requestCallback } from '@grpc/grpc-js';
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import { EspalierError, namingFile } from '../../shared/errors.ts';
import { cancelOnAbort } from '../../shared/rpc/abort.ts';
import type { Job__Output as Job } from '../../shared/rpc/generated/espalier/v1/Job.ts';
import type { JobEvent__Output as JobEvent } from '../../shared/rpc/generated/espalier/v1/JobEvent.ts';
import type { ListRequest } from '../../shared/rpc/generated/espalier/v1/ListRequest.ts';
import type { ListResponse__Output as ListResponse } from '../../shared/rpc/generated/espalier/v1/ListResponse.ts';
import type { SubmitRequest } from '../../shared/rpc/generated/espalier/v1/SubmitRequest.ts';
import type { SubmitResponse__Output as SubmitResponse } from '../../shared/rpc/generated/espalier/v1/SubmitResponse.ts';
import { Tls } from '../../shared/rpc/tls.ts';
import type { ClusterSettings } from '../parse-cluster.ts';
import { CoordinatorConnection } from './coordinator-connection.ts';

export type { Job, JobEvent, SubmitRequest, SubmitResponse };

const CALL_MS = 30_000;
const SUBMIT_MS = 300_000;
/** The slowest download that is still waited for, beside CALL_MS. */
const MIN_BYTES_PER_MS = 1_000;
/** Rounds over all coordinators before a call fails, with a pause between two. */
const ROUNDS = 3;
const PAUSE_MS = 400;
/** How long a watch looks for a coordinator that answers. */
const WATCH_PATIENCE_MS = 120_000;
/** A coordinator that takes no more uploads or downloads is asked again for so long. */
const BUSY_PATIENCE_MS = 300_000;
const DIGESTS_A_CALL = 1_000;
const PAGE_SIZE = 500;

export interface ListFilter {
  /** Id or prefix; null: all. */
  readonly campaign: string | null;
  readonly states: readonly string[];
}

export interface WatchOptions {
  readonly after: number;
  readonly keptOnly: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: JobEvent) => void;
  /** Told when the coordinator has gone and another, or it again, is looked for. */
  readonly onLost?: (error: EspalierError) => void;
}

type Work<Result> = (connection: CoordinatorConnection, isRepeated: boolean) => Promise<Result>;

export class ClusterClient {
  readonly #addresses: readonly string[];
  readonly #tls: Tls | null;
  readonly #signal: AbortSignal;
  #position = 0;
  #connection: CoordinatorConnection | null = null;
  /** Whether any coordinator ever answered: what looks like wrong certificates then is a connection that was cut. */
  #hasAnswered = false;

  private constructor(addresses: readonly string[], tls: Tls | null, signal: AbortSignal) {
    this.#addresses = addresses;
    this.#tls = tls;
    this.#signal = signal;
  }

  /** Sends nothing yet. Whoever opened it closes it; `signal` ends its calls. @throws EspalierError "tls", "wrong_role". */
  static async open({ addresses, tls }: ClusterSettings, signal: AbortSignal): Promise<ClusterClient> {
    const opened = tls === null ? null : await Tls.open(tls, ['submit', 'read']);
    return new ClusterClient(addresses, opened, signal);
  }

  submit(request: SubmitRequest): Promise<SubmitResponse> {
    return this.#call(({ jobs }) => this.#unary(jobs.submit.bind(jobs), request, SUBMIT_MS));
  }

  get(id: string): Promise<Job> {
    return this.#call(({ jobs }) => this.#unary(jobs.get.bind(jobs), { id }));
  }

  cancel(id: string): Promise<Job> {
    return this.#call(({ jobs }) => this.#unary(jobs.cancel.bind(jobs), { id }));
  }

  retry(id: string): Promise<Job> {
    return this.#call(async ({ jobs }, isRepeated) => {
      try {
        return await this.#unary(jobs.retry.bind(jobs), { id });
      } catch (caught) {
        // The first call may have done it and its answer been lost.
        if (!isRepeated) throw caught;
        const job = await this.#unary<{ id: string }, Job>(jobs.get.bind(jobs), { id });
        if (job.state !== 'queued' && job.state !== 'running') throw caught;
        return job;
      }
    });
  }

  /** Deletes by whole id. */
  async delete(id: string): Promise<void> {
    await this.#call(async (connection, isRepeated) => {
      const { jobs } = connection;
      await this.#unary<{ id: string }, object>(jobs.delete.bind(jobs), { id }).catch((caught: unknown) => {
        if (!isRepeated || connection.failure(caught).code !== 'job_not_found') throw caught;
      });
    });
  }

  /** Jobs, newest first, at most `limit` of them. */
  async list({ campaign, states }: ListFilter, limit: number): Promise<{ jobs: Job[]; hasMore: boolean }> {
    const found: Job[] = [];
    let pageToken = '';
    do {
      const request = { pageSize: PAGE_SIZE, pageToken, campaignId: campaign ?? '', states: [...states] };
      const page = await this.#call(({ jobs }) =>
        this.#unary<ListRequest, ListResponse>(jobs.list.bind(jobs), request),
      );
      found.push(...page.jobs);
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && found.length <= limit);
    return { jobs: found.slice(0, limit), hasMore: found.length > limit || pageToken !== '' };
  }

  /** Tells of a job's events until it has ended; goes on after the last one when a coordinator goes away. */
  async watch(id: string, options: WatchOptions): Promise<void> {
    let after = options.after;
    let lostAt: number | null = null;
    for (;;) {
      const connection = this.#connect();
      try {
        await this.#watchOnce(connection, id, { ...options, after }, (event) => {
          lostAt = null;
          this.#hasAnswered = true;
          after = event.sequence;
          options.onEvent(event);
        });
        return;
      } catch (caught) {
        options.signal.throwIfAborted();
        this.#signal.throwIfAborted();
        const error = connection.failure(caught);
        if (!isAway(error) && !(error.code === 'tls' && this.#hasAnswered)) throw error;
        if (lostAt === null) options.onLost?.(error);
        lostAt ??= Date.now();
        if (Date.now() - lostAt > WATCH_PATIENCE_MS) throw error;
        this.#next();
        await pause(PAUSE_MS, undefined, { signal: options.signal }).catch(() => options.signal.throwIfAborted());
      }
    }
  }

  /** Which of these the cluster lacks. */
  async missing(digests: readonly string[]): Promise<Set<string>> {
    const missing = new Set<string>();
    for (let start = 0; start < digests.length; start += DIGESTS_A_CALL) {
      const some = digests.slice(start, start + DIGESTS_A_CALL);
      const found = await this.#call(({ findMissing }) => findMissing(some, Date.now() + CALL_MS));
      for (const digest of found) missing.add(digest);
    }
    return missing;
  }

  /** Sends one blob unless it is there. */
  async upload(blob: BlobSource): Promise<void> {
    await this.#unlessBusy(() => this.#call(({ uploader }) => uploader.ensure([blob], this.#signal)));
  }

  /** Writes a blob that the job's record names to a new file. @throws EspalierError "blob_corrupt" when size or digest are
   * not as named. */
  async download(
    jobId: string,
    blob: { readonly digest: string; readonly sizeBytes: number },
    file: string,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const chunks = (connection: CoordinatorConnection) =>
      connection.artifacts.get(
        { jobId, digest: blob.digest },
        { deadline: Date.now() + CALL_MS + blob.sizeBytes / MIN_BYTES_PER_MS },
      );
    await this.#unlessBusy(() =>
      this.#call(async (connection) => {
        const call = chunks(connection);
        const stop = cancelOnAbort(call, this.#signal);
        try {
          await writeChecked(call, blob, file, onBytes);
        } finally {
          stop();
          call.cancel();
        }
      }),
    );
  }

  close(): void {
    this.#connection?.close();
    this.#connection = null;
    this.#tls?.close();
  }

  /** Runs a call against the coordinators in turn until one answers. */
  async #call<Result>(work: Work<Result>): Promise<Result> {
    let failure: EspalierError | null = null;
    for (let attempt = 0; attempt < ROUNDS * this.#addresses.length; attempt += 1) {
      this.#signal.throwIfAborted();
      if (attempt > 0 && attempt % this.#addresses.length === 0)
        await pause(PAUSE_MS, undefined, { signal: this.#signal }).catch(() => this.#signal.throwIfAborted());
      const connection = this.#connect();
      try {
        const result = await work(connection, failure !== null);
        this.#hasAnswered = true;
        return result;
      } catch (caught) {
        this.#signal.throwIfAborted();
        const error = connection.failure(caught);
        // A coordinator that is just ending can look as if it did not accept the certificate.
        if (!isAway(error) && error.code !== 'tls') throw error;
        failure = error;
        this.#next();
      }
    }
    throw failure ?? new EspalierError('usage', '--coordinator: missing');
  }

  async #unlessBusy(work: () => Promise<void>): Promise<void> {
    const end = Date.now() + BUSY_PATIENCE_MS;
    for (;;) {
      try {
        return await work();
      } catch (caught) {
        const isBusy = caught instanceof EspalierError && caught.code === 'worker_busy';
        if (!isBusy || Date.now() > end) throw caught;
        await pause(PAUSE_MS, undefined, { signal: this.#signal }).catch(() => this.#signal.throwIfAborted());
      }
    }
  }

  #connect(): CoordinatorConnection {
    this.#connection ??= new CoordinatorConnection(this.#addresses[this.#position], this.#tls);
    return this.#connection;
  }

  #next(): void {
    this.#connection?.close();
    this.#connection = null;
    this.#position = (this.#position + 1) % this.#addresses.length;
  }

  #unary<Request, Response>(
    method: (request: Request, options: CallOptions, callback: requestCallback<Response>) => { cancel(): void },
    request: Request,
    timeoutMs: number = CALL_MS,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const call = method(request, { deadline: Date.now() + timeoutMs }, (error, response) => {
        stop();
        if (response === undefined) reject(error);
        else resolve(response);
      });
      const stop = cancelOnAbort(call, this.#signal);
    });
  }

  #watchOnce(
    { jobs }: CoordinatorConnection,
    id: string,
    { after, keptOnly, signal }: WatchOptions,
    onEvent: (event: JobEvent) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const call = jobs.watch({ id, afterSequence: after, keptOnly });
      const stops = [cancelOnAbort(call, signal), cancelOnAbort(call, this.#signal)];
      const settle = (finish: () => void) => {
        for (const stop of stops) stop();
        finish();
      };
      call.on('data', onEvent);
      call.on('end', () => settle(resolve));
      call.on('error', (error) => settle(() => reject(error)));
    });
  }
}

/** Whether another coordinator, or this one later, may answer. */
function isAway({ code }: EspalierError): boolean {
  return code === 'coordinator_unavailable' || code === 'deadline' || code === 'bus_unavailable';
}

async function writeChecked(
  chunks: AsyncIterable<{ readonly chunk: Buffer }>,
  { digest, sizeBytes }: { readonly digest: string; readonly sizeBytes: number },
  file: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const hash = createHash('sha256');
  let writtenBytes = 0;
  const handle = await open(file, 'w');
  try {
    for await (const { chunk } of chunks) {
      writtenBytes += chunk.byteLength;
      if (writtenBytes > sizeBytes) break;
      hash.update(chunk);
      await handle.writeFile(chunk).catch((caught: unknown) => {
        throw namingFile(file, caught);
      });
      onBytes(chunk.byteLength);
    }
  } finally {
    await handle.close();
  }
  if (writtenBytes !== sizeBytes)
    throw new EspalierError('blob_corrupt', `${digest}: got ${writtenBytes} bytes or more, expected ${sizeBytes}`);
  const got = hash.digest('hex');
  if (got !== digest) throw new EspalierError('blob_corrupt', `${digest}: got content with digest ${got}`);
}
