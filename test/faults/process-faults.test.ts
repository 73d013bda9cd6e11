// kill -9 and freeze of a coordinator, a worker and NATS at every stage of a job.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { JobRecord } from '../../coordinator/jobs/job-record.ts';
import { LEASE_SECONDS } from '../support/cluster.ts';
import { until } from '../support/until.ts';
import type { Moment, Strike } from './fault-bench.ts';
import { type FaultCase, faultSuite } from './fault-suite.ts';

const MOMENTS: readonly Moment[] = ['load', 'fisher', 'search', 'tune', 'export', 'commit'];
/** Longer than a lease, so that everything that a freeze can make lapse has lapsed. */
const FREEZE_MS = LEASE_SECONDS * 1_000 * 2;

const KINDS: readonly {
  readonly name: string;
  readonly strike: (strike: Strike) => Promise<void>;
  readonly proof: (record: JobRecord, strike: Strike) => void;
}[] = [
  {
    name: 'coordinator killed',
    strike: ({ owner }) => owner.kill(),
    proof: ({ attempt }) => assert.ok(attempt >= 2, 'another coordinator has claimed it'),
  },
  {
    name: 'coordinator frozen until another has the job',
    strike: async ({ owner, watch, job }) => {
      const { attempt } = watch.record(job);
      owner.freeze();
      await until('another claims it', () => watch.record(job).attempt > attempt, 60_000);
      owner.thaw();
    },
    proof: ({ attempt }) => assert.ok(attempt >= 2),
  },
  {
    name: 'worker killed',
    strike: ({ worker }) => worker.kill(),
    proof: ({ attempt }) => assert.equal(attempt, 1, 'the coordinator goes on by itself'),
  },
  {
    name: 'worker frozen until the job is done',
    strike: async ({ worker }) => worker.freeze(),
    proof: ({ attempt }) => assert.equal(attempt, 1),
  },
  {
    name: 'NATS killed and started again',
    strike: async ({ cluster }) => {
      await cluster.nats.kill();
      await cluster.nats.start();
    },
    proof: () => {},
  },
  {
    name: 'NATS frozen for longer than a lease',
    strike: async ({ cluster }) => {
      cluster.nats.freeze();
      await pause(FREEZE_MS);
      cluster.nats.thaw();
    },
    proof: () => {},
  },
];

const cases = KINDS.flatMap(({ name, strike, proof }) =>
  MOMENTS.map((at): FaultCase => ({ name: `${name}, ${at}`, at, strike, proof })),
);

faultSuite('processes', { coordinators: 2, workers: 2 }, cases);
