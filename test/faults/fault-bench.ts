// One cluster that faults are tried on, and what an undisturbed job on it made and took.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import type { Stage } from '../../coordinator/job-events.ts';
import type { JobRecord } from '../../coordinator/jobs/job-record.ts';
import { writeExampleCampaign } from '../support/campaigns.ts';
import { Cluster, type ClusterPlan } from '../support/cluster.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { JobWatch, resultDigests } from '../support/job-watch.ts';
import { submit } from '../support/jobs-api.ts';
import { natsState, nothingLeft, type Streams } from '../support/leftovers.ts';

/** Longest that any disturbed job may take: leases, keepalives and pings have to lapse first. */
export const DEADLINE_MS = 120_000;

/** When a case strikes. "commit": everything is computed, and results are on their way into the store. */
export type Moment = Stage | 'commit';

export interface Strike {
  readonly cluster: Cluster;
  readonly watch: JobWatch;
  /** The job that runs. */
  readonly job: string;
  /** The coordinator that owns it at the moment of the strike. */
  readonly owner: ClusterProcess;
  /** A worker that it has. */
  readonly worker: ClusterProcess;
}

export interface StartedJob {
  readonly id: string;
  readonly begin: number;
}

export class FaultBench {
  readonly cluster: Cluster;
  readonly watch: JobWatch;
  readonly #lines: string[] = [];
  #expected: Readonly<Record<string, string>> = {};
  #undisturbedSeconds = 0;
  #rest: Streams | null = null;
  #campaigns = 0;

  private constructor(cluster: Cluster, watch: JobWatch) {
    this.cluster = cluster;
    this.watch = watch;
  }

  /** Starts a cluster and runs the job on it twice: the first run fills caches, the second is what a disturbed one is
   * compared with. Whoever opens it closes it. */
  static async open(plan: ClusterPlan): Promise<FaultBench> {
    const cluster = await Cluster.start(plan);
    let watch: JobWatch | null = null;
    try {
      watch = await JobWatch.open(cluster.natsUrl);
      const bench = new FaultBench(cluster, watch);
      await bench.#measure();
      return bench;
    } catch (caught) {
      const logs = cluster.coordinators.map((coordinator) => `${coordinator.name}: ${coordinator.log().slice(-2_000)}`);
      await watch?.close();
      await cluster.remove();
      throw new Error(`no undisturbed run: ${logs.join('\n')}`, { cause: caught });
    }
  }

  /** Submits the job once more. @param to coordinator that is asked; left out: the first that runs. */
  async start(to?: string): Promise<StartedJob> {
    const begin = performance.now();
    const [id] = await submit(this.cluster, await this.campaign(), to);
    this.watch.events(id);
    return { id, begin };
  }

  /** A campaign file of the job, which nobody has submitted yet. */
  async campaign(): Promise<string> {
    this.#campaigns += 1;
    const folder = this.cluster.folderOf('client', 'campaign');
    return writeExampleCampaign(folder, `campaign-${this.#campaigns}`);
  }

  /** Resolves when the job is there. */
  async reached(job: string, at: Moment): Promise<Strike> {
    const { cluster, watch } = this;
    if (at === 'commit') await watch.finished(job, 'latency');
    else await watch.reached(job, at, at === 'tune' ? 2 : 0);
    const { lease } = watch.record(job);
    assert.ok(lease !== null, `the job runs when ${at} is reached`);
    const joined = watch.events(job).flatMap(({ event }) => (event.kind === 'worker-joined' ? [event.worker] : []));
    const worker = cluster.workers.find(({ name }) => joined.includes(cluster.workerAddress(name)));
    return { cluster, watch, job, owner: cluster.ownerOf(lease.owner), worker: worker ?? cluster.workers[0] };
  }

  /** Waits for the end of a job, which must be that of an undisturbed one, notes what it took, mends the cluster, and
   * finds nothing left behind. @returns its record. */
  async finish(name: string, { id, begin }: StartedJob): Promise<JobRecord> {
    await this.watch.done([id], DEADLINE_MS);
    const seconds = (performance.now() - begin) / 1000;
    const lost = seconds - this.#undisturbedSeconds;
    this.#lines.push([name, ...[this.#undisturbedSeconds, seconds, lost].map((s) => `${s.toFixed(1)} s`)].join(' | '));
    const record = this.watch.record(id);
    assert.deepEqual(resultDigests(record), this.#expected, 'the bits of an undisturbed run');
    assert.equal(record.results.length, 1);
    assert.equal(this.watch.states(id).filter((state) => state === 'done').length, 1, 'it was done once');
    this.watch.unfollow(id);
    await this.rest();
    return record;
  }

  /** Mends what is broken. Resolves when the cluster holds nothing of its ended jobs but what it should, and what NATS leaves
   * to killed processes for half a minute: that is looked for after all cases. */
  async rest(): Promise<void> {
    await this.cluster.restore();
    await nothingLeft(this.cluster, this.watch, this.#rest!, { ofKilled: false });
  }

  /** After all cases: finds nothing left in NATS, nor chunks in it that belong to nothing once housekeeping has been, and
   * ends the cluster as an operator would: every process drains and exits with 0. */
  async stop(): Promise<void> {
    await this.cluster.restore();
    await nothingLeft(this.cluster, this.watch, this.#rest!);
    await this.#onlyWholeObjects();
    await this.cluster.stop();
  }

  async close(): Promise<void> {
    await this.watch.close();
    await this.cluster.remove();
    const file = process.env.ESPALIER_FAULT_TABLE;
    // The program that runs all files prints one table; a file that runs alone prints its own.
    if (file !== undefined) appendFileSync(file, this.#lines.map((line) => `${line}\n`).join(''));
    else console.log(['case | undisturbed | disturbed | lost', ...this.#lines].join('\n'));
  }

  /** What killed processes leave in the object store are chunks that nothing names; they are found and removed. */
  async #onlyWholeObjects(): Promise<void> {
    const { objects } = this.watch.bus;
    await objects.removeOrphans(0);
    assert.equal(await objects.removeOrphans(0), 0);
    let bytes = 0;
    for await (const { digest, sizeBytes } of objects.list()) {
      let read = 0;
      for await (const chunk of objects.open(digest)) read += chunk.length;
      assert.equal(read, sizeBytes, digest);
      bytes += sizeBytes;
    }
    const { bytes: stored } = await objects.usage();
    assert.ok(stored < bytes * 1.02 + 1_000_000, `${stored} bytes are stored for ${bytes} bytes of objects`);
  }

  async #measure(): Promise<void> {
    for (const run of ['warm-up', 'undisturbed']) {
      const { id, begin } = await this.start();
      await this.watch.done([id], DEADLINE_MS);
      this.#undisturbedSeconds = (performance.now() - begin) / 1000;
      const digests = resultDigests(this.watch.record(id));
      assert.ok(Object.keys(digests).some((name) => name.endsWith('model.safetensors')));
      if (run === 'undisturbed') assert.deepEqual(digests, this.#expected, 'two undisturbed runs');
      this.#expected = digests;
      this.watch.unfollow(id);
    }
    this.#rest = await natsState(this.cluster);
  }
}
