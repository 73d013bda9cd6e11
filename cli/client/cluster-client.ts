// The job API as the commands call it. All calls can be sent twice: one whose answer was lost is sent again, to the next
// coordinator.
import type { BlobSource } from '../../shared/blobs/blob-source.ts';
import type { Job__Output as Job } from '../../shared/rpc/generated/espalier/v1/Job.ts';
import type { JobEvent__Output as JobEvent } from '../../shared/rpc/generated/espalier/v1/JobEvent.ts';
import type { ListRequest } from '../../shared/rpc/generated/espalier/v1/ListRequest.ts';
import type { ListResponse__Output as ListResponse } from '../../shared/rpc/generated/espalier/v1/ListResponse.ts';
import type { SubmitRequest } from '../../shared/rpc/generated/espalier/v1/SubmitRequest.ts';
import type { SubmitResponse__Output as SubmitResponse } from '../../shared/rpc/generated/espalier/v1/SubmitResponse.ts';
import { callMetadata, NO_CONTEXT } from '../../shared/rpc/trace-metadata.ts';
import { formatTraceparent, newTraceContext } from '../../shared/telemetry/trace.ts';
import type { ClusterSettings } from '../parse-cluster.ts';
import { CALL_MS, Coordinators } from './coordinators.ts';
import { downloadBlob, type NamedBlob } from './download-blob.ts';
import { type WatchOptions, watchEvents } from './watch-events.ts';

export type { Job, JobEvent, SubmitRequest, SubmitResponse };

/** A coordinator opens what lies on volumes before it answers. */
const SUBMIT_MS = 300_000;
const DIGESTS_A_CALL = 1_000;
const PAGE_SIZE = 500;

export interface ListFilter {
  /** Id or prefix; null: all. */
  readonly campaign: string | null;
  readonly states: readonly string[];
}

export class ClusterClient {
  readonly #coordinators: Coordinators;

  private constructor(coordinators: Coordinators) {
    this.#coordinators = coordinators;
  }

  /** Sends nothing yet. Whoever opened it closes it; `signal` ends its calls. @throws EspalierError "tls", "wrong_role". */
  static async open(settings: ClusterSettings, signal: AbortSignal): Promise<ClusterClient> {
    return new ClusterClient(await Coordinators.open(settings, signal));
  }

  /** @param traceparent context of which the jobs become part; usually that of a new trace. */
  submit(request: SubmitRequest, traceparent = formatTraceparent(newTraceContext())): Promise<SubmitResponse> {
    const options = { timeoutMs: SUBMIT_MS, metadata: callMetadata({ ...NO_CONTEXT, traceparent }) };
    return this.#coordinators.unlessBusy(({ jobs }) =>
      this.#coordinators.unary(jobs.submit.bind(jobs), request, options),
    );
  }

  get(id: string): Promise<Job> {
    return this.#coordinators.call(({ jobs }) => this.#coordinators.unary(jobs.get.bind(jobs), { id }));
  }

  cancel(id: string): Promise<Job> {
    return this.#coordinators.call(({ jobs }) => this.#coordinators.unary(jobs.cancel.bind(jobs), { id }));
  }

  retry(id: string): Promise<Job> {
    return this.#coordinators.call(async ({ jobs }, isRepeated) => {
      try {
        return await this.#coordinators.unary(jobs.retry.bind(jobs), { id });
      } catch (caught) {
        // The first call may have done it and its answer been lost.
        if (!isRepeated) throw caught;
        const job = await this.#coordinators.unary<{ id: string }, Job>(jobs.get.bind(jobs), { id });
        if (job.state !== 'queued' && job.state !== 'running') throw caught;
        return job;
      }
    });
  }

  /** Deletes by whole id. */
  async delete(id: string): Promise<void> {
    await this.#coordinators.call(async (connection, isRepeated) => {
      const { jobs } = connection;
      await this.#coordinators
        .unary<{ id: string }, object>(jobs.delete.bind(jobs), { id })
        .catch((caught: unknown) => {
          if (!isRepeated || connection.failure(caught).code !== 'job_not_found') throw caught;
        });
    });
  }

  /** Jobs, newest first, at most `limit` of them. */
  async list(
    { campaign, states }: ListFilter,
    limit = Number.POSITIVE_INFINITY,
  ): Promise<{ jobs: Job[]; hasMore: boolean }> {
    const found: Job[] = [];
    let pageToken = '';
    do {
      const request = { pageSize: PAGE_SIZE, pageToken, campaignId: campaign ?? '', states: [...states] };
      const page = await this.#coordinators.call(({ jobs }) =>
        this.#coordinators.unary<ListRequest, ListResponse>(jobs.list.bind(jobs), request),
      );
      found.push(...page.jobs);
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && found.length <= limit);
    return { jobs: found.slice(0, limit), hasMore: found.length > limit || pageToken !== '' };
  }

  /** See watchEvents. */
  watch(id: string, options: WatchOptions): Promise<void> {
    return watchEvents(this.#coordinators, id, options);
  }

  /** Which of these the cluster lacks. */
  async missing(digests: readonly string[]): Promise<Set<string>> {
    const missing = new Set<string>();
    for (let start = 0; start < digests.length; start += DIGESTS_A_CALL) {
      const some = digests.slice(start, start + DIGESTS_A_CALL);
      const found = await this.#coordinators.call(({ findMissing }) => findMissing(some, Date.now() + CALL_MS));
      for (const digest of found) missing.add(digest);
    }
    return missing;
  }

  /** Sends one blob unless it is there. */
  async upload(blob: BlobSource): Promise<void> {
    const { signal } = this.#coordinators;
    await this.#coordinators.unlessBusy(({ uploader }) => uploader.ensure([blob], signal));
  }

  /** See downloadBlob. */
  download(jobId: string, blob: NamedBlob, file: string, onBytes: (bytes: number) => void): Promise<void> {
    return downloadBlob(this.#coordinators, jobId, blob, file, onBytes);
  }

  close(): void {
    this.#coordinators.close();
  }
}
