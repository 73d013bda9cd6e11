// Part "queue": jobs through NATS, a coordinator and workers, all of them processes of their own. The jobs share the files of
// one model, and each draws its samples with a seed of its own: nothing that one has computed is of use to another.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { ClusterJobStore } from '../../../coordinator/jobs/cluster-job-store.ts';
import { dataFileName, type FileKind, isFileName } from '../../../coordinator/jobs/file-names.ts';
import type { FileSource, JobRecord, JobSpec } from '../../../coordinator/jobs/job-record.ts';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import { blobOfFile } from '../../../shared/blobs/blob-source.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { SILENT_LOG } from '../../../shared/log.ts';
import { visibleGpus } from '../../../shared/visible-gpus.ts';
import { Cluster } from '../../support/cluster.ts';
import type { ClusterProcess } from '../../support/cluster-process.ts';
import { SPEC } from '../../support/job-records.ts';
import { JobWatch, resultDigests } from '../../support/job-watch.ts';
import { cpuSecondsOf } from '../../support/processes.ts';
import type { WorkloadFiles } from '../gpu/workloads.ts';
import { type Run, STAGES, type StageSeconds } from './figures.ts';
import { NOT_TIMED } from './not-timed.ts';

const QUEUE_MS = 30 * 60_000;
/** What all jobs of some queues leave; nats-server gives no more than 20 GB to all that it stores. */
const STORE_GB = 16;

export interface QueueOptions {
  readonly jobs: number;
  readonly repeats: number;
  readonly device: 'cpu' | 'gpu';
}

/** One queue after the other in one cluster. @returns those after the jobs that warm up.
 * @throws Error where a job fails, or a worker got none of those that warm up. */
export async function measureQueue(workers: number, files: WorkloadFiles, options: QueueOptions): Promise<Run[]> {
  const { jobs, repeats, device } = options;
  const gpus = device === 'gpu' ? visibleGpus(process.env) : [];
  const cluster = await Cluster.start({
    ...{ coordinators: 1, workers, device, sharedBlobs: true, storeGb: STORE_GB },
    env: (name) => (/^w\d+$/.test(name) ? { CUDA_VISIBLE_DEVICES: gpus[Number(name.slice(1)) - 1] ?? '' } : {}),
  });
  let watch: JobWatch | null = null;
  let store: ClusterJobStore | null = null;
  try {
    watch = await JobWatch.open(cluster.natsUrl);
    store = await ClusterJobStore.open(watch.bus, SILENT_LOG);
    const spec = await storedSpec(watch.bus, files);
    const submit = async (name: string, seeds: readonly number[]): Promise<readonly string[]> => {
      const submitted = seeds.map((seed) => ({ name: `seed-${seed}`, spec: { ...spec, seed }, priority: 0 }));
      const { campaign } = await store!.submit({ clientKey: name, name, jobs: submitted, traceparent: null });
      return campaign.jobs;
    };
    // As many for any number of workers: each of them compiles and loads what it needs.
    const warmUp = await submit('warm-up', seedsFrom(0, jobs));
    await watch.done(warmUp, QUEUE_MS);
    for (const { name, log } of cluster.workers.map((worker) => ({ name: worker.name, log: worker.log() })))
      if (computedSeconds(log) === 0) throw new Error(`${name}: got no task of ${jobs} jobs that warm up`);
    const runs: Run[] = [];
    for (let repeat = 1; repeat <= repeats; repeat++) {
      const ended = measure(cluster);
      const ids = await submit(`queue ${repeat}`, seedsFrom(repeat * jobs, jobs));
      await watch.done(ids, QUEUE_MS);
      runs.push(
        ended(
          workers,
          ids.map((id) => watch!.record(id)),
        ),
      );
    }
    return runs;
  } finally {
    store?.close();
    await watch?.close();
    await cluster.remove();
  }
}

const seedsFrom = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

/** What every job is asked to do, with its files in the object store, where a submit would put them. */
async function storedSpec(bus: Bus, { definition, model, data }: WorkloadFiles): Promise<JobSpec> {
  const stored = async (kind: FileKind, label: string, sources: readonly [name: string, file: string][]) => {
    const source: Extract<FileSource, { kind: 'blobs' }> = { kind: 'blobs', label, files: [] };
    const files = [...source.files];
    for (const [name, file] of sources.filter(([name]) => isFileName(kind, name))) {
      const { digest, sizeBytes, open } = await blobOfFile(file);
      await bus.objects.put(digest, sizeBytes, open());
      files.push({ name, digest, sizeBytes });
    }
    return { ...source, files };
  };
  const names = await readdir(model);
  return {
    ...SPEC,
    model: await stored(
      'model',
      path.basename(model),
      names.map((name) => [name, path.join(model, name)]),
    ),
    data: await stored('data', path.basename(data), [[dataFileName(data), data]]),
    budgets: [{ text: `${definition.budget}`, value: definition.budget }],
    samples: definition.samples,
    timing: NOT_TIMED,
  };
}

/** Begins to measure. @returns what ends it, given the records of the queue's jobs. */
function measure({ coordinators: [coordinator], workers }: Cluster) {
  const cpuBefore = cpuSecondsOf(coordinator.pid);
  const logged = workers.map((worker) => worker.log().length);
  return (count: number, records: readonly JobRecord[]): Run => {
    const cpuSeconds = cpuSecondsOf(coordinator.pid) - cpuBefore;
    const timesMs = (text: (record: JobRecord) => string | null) =>
      records.map((record) => Date.parse(text(record) ?? ''));
    const endMs = Math.max(...timesMs(({ finishedAt }) => finishedAt));
    const seconds = (endMs - Math.min(...timesMs(({ startedAt }) => startedAt))) / 1000;
    const computed = (worker: ClusterProcess, i: number) => computedSeconds(worker.log().slice(logged[i]));
    const reports = records.map(({ results: [{ report }] }) => report as PruneReport);
    return {
      seconds,
      stages: Object.fromEntries(
        STAGES.map((stage) => [
          stage,
          reports.reduce((sum, report) => sum + report.seconds[stage], 0) / reports.length,
        ]),
      ) as Record<string, number> & StageSeconds,
      busy: workers.map(computed).reduce((sum, own) => sum + own, 0) / (count * seconds),
      coordinatorCpuSeconds: cpuSeconds,
      results: records.map((record) => JSON.stringify(resultDigests(record))),
    };
  };
}

/** What a worker's log says that its tasks took, without their way there and back. */
function computedSeconds(log: string): number {
  return log
    .split('\n')
    .filter((line) => line.includes('"message":"task computed"') && line.endsWith('}'))
    .reduce((sum, line) => sum + (JSON.parse(line) as { seconds: number }).seconds, 0);
}
