// The coordinator of `npm run bench:cluster`, in a process of its own so that its time and memory are its own: the real
// job store, leases and claim loop, and the real fleet, over jobs of simulated-job.ts.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Coordinator } from '../../coordinator/coordinator.ts';
import { ClusterJobStore } from '../../coordinator/jobs/cluster-job-store.ts';
import { LEASE_PREFIX } from '../../coordinator/jobs/coordinator-lease.ts';
import type { JobSpec } from '../../coordinator/jobs/job-record.ts';
import { maxJobs } from '../../coordinator/jobs/max-jobs.ts';
import { watchLeases } from '../../coordinator/jobs/watch-leases.ts';
import { openFleet } from '../../coordinator/workers/open-fleet.ts';
import { connectBus } from '../../shared/bus/nats-bus.ts';
import { createLog } from '../../shared/log.ts';
import { SPEC } from '../support/job-records.ts';
import { until } from '../support/until.ts';
import { type CoordinatorStart, cpuSeconds, tell } from './cluster-messages.ts';
import { runSimulatedJob } from './simulated-job.ts';

const LEASE_MS = 30_000;
const RUN_MS = 20 * 60_000;
/** Jobs of each coordinator before the first that counts: first calls are compiled, connections are made. */
const WARM_UP_JOBS = 4;

// Nobody is left to report to.
process.once('disconnect', () => process.exit());
process.once('message', (start: CoordinatorStart) => {
  void coordinate(start);
});

async function coordinate(start: CoordinatorStart): Promise<void> {
  const { nats, workers, jobs, coordinators, isFirst } = start;
  const log = createLog({}, (line) => {
    if (!line.includes('"level":"info"')) process.stderr.write(line);
  });
  const bus = await connectBus({ servers: [nats], credentials: null, tls: null }, { create: true });
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-bench-coordinator-'));
  const counts = { in: 0, out: 0, tasks: 0, repeated: 0 };
  const fleet = await openFleet({
    ...{
      bus,
      tls: null,
      insecure: false,
      coordinatorId: `bench-${process.pid}`,
      onNotice: (text) => log.warning(text),
    },
    listener: {
      taskDone: () => {
        counts.tasks += 1;
      },
      taskRetried: () => {
        counts.repeated += 1;
      },
      bytes: (direction, count) => {
        counts[direction] += count;
      },
    },
  });
  const store = await ClusterJobStore.open(bus, log);
  const watches = new AbortController();
  const leases = await watchLeases(bus, LEASE_MS, watches.signal);
  await tell({ kind: 'ready' });
  await until('all workers are there', () => fleet.size === workers, 60_000);
  const warmUp = WARM_UP_JOBS * coordinators;
  let ended = 0;
  let cpuBefore = 0;
  let startMs = 0;
  let thinMs = 0;
  const { jobsPerWorker } = start;
  const coordinator = await Coordinator.start({
    ...{ bus, store, leases, id: `bench-${process.pid}`, leaseMs: LEASE_MS, log },
    maxJobs: () =>
      jobsPerWorker === null ? maxJobs(fleet.size, leases) : Math.ceil((fleet.size * jobsPerWorker) / coordinators),
    runJob: async (held) => {
      const { id } = held.record;
      await runSimulatedJob(held, { fleet, objects: bus.objects, folder: path.join(folder, id) });
      return [];
    },
  });
  // Every coordinator sees the jobs of all.
  const stop = store.onChange((_id, job) => {
    if (ended >= warmUp && startMs === 0 && job?.state === 'running') startMs = Date.now();
    if (job?.state === 'failed') log.error('job failed', { error: job.failure });
    if (job?.state !== 'done' && job?.state !== 'failed') return;
    ended += 1;
    if (ended === warmUp) {
      cpuBefore = cpuSeconds();
      Object.assign(counts, { in: 0, out: 0, tasks: 0, repeated: 0 });
    }
    if (thinMs === 0 && warmUp + jobs - ended < workers) thinMs = Date.now();
  });
  if (isFirst) {
    await until('all coordinators are there', () => leases.present(LEASE_PREFIX).length === coordinators, 60_000);
    await submit(store, 'warm-up', warmUp);
    await until('the warm-up is done', () => ended >= warmUp, RUN_MS);
    await tell({ kind: 'warm' });
    await submit(store, 'bench', jobs);
  }
  await until('all jobs are done', () => ended >= warmUp + jobs, RUN_MS);
  const endMs = Date.now();
  const cpu = cpuSeconds() - cpuBefore;
  stop();
  await coordinator.drain();
  await fleet.close();
  store.close();
  watches.abort();
  await bus.close();
  await rm(folder, { recursive: true, force: true });
  await tell({
    kind: 'coordinator-report',
    ...{ startMs, thinMs, endMs, cpuSeconds: cpu, peakRssBytes: process.resourceUsage().maxRSS * 1024 },
    ...{ bytesIn: counts.in, bytesOut: counts.out, tasks: counts.tasks, repeated: counts.repeated },
  });
  process.disconnect();
}

async function submit(store: ClusterJobStore, name: string, count: number): Promise<void> {
  await store.submit({
    ...{ clientKey: `${name} ${process.pid}`, name, traceparent: null },
    jobs: Array.from({ length: count }, (_, i) => ({ name: `${name}-${i}`, spec: BENCH_SPEC, priority: 0 })),
  });
}

const BENCH_SPEC: JobSpec = {
  ...SPEC,
  model: { kind: 'volume', volume: 'bench', path: ['model'] },
  data: { kind: 'volume', volume: 'bench', path: ['data'] },
  seed: 0,
  samples: 2048,
};
