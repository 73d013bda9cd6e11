// Four faults of the many in test/faults, on real processes: a job is done all the same, with the bits of an undisturbed
// run, and nothing is left behind. Coordinators are killed first: what NATS leaves to them for a while is gone sooner.
import assert from 'node:assert/strict';
import { type FaultCase, faultSuite } from '../faults/fault-suite.ts';
import { corruptStagesAndKill } from '../faults/strikes.ts';

const cases: readonly FaultCase[] = [
  {
    name: 'the coordinator is killed in tuning',
    at: 'tune',
    strike: ({ owner }) => owner.kill(),
    proof: ({ attempt }) => assert.equal(attempt, 2, 'another has claimed it'),
  },
  {
    name: 'blobs are damaged in the object store, and a coordinator that needs them takes over',
    at: 'tune',
    strike: corruptStagesAndKill,
    proof: ({ attempt }) => assert.equal(attempt, 2),
  },
  {
    name: 'a worker is killed in fisher',
    at: 'fisher',
    strike: ({ worker }) => worker.kill(),
    proof: ({ attempt }) => assert.equal(attempt, 1, 'the coordinator goes on by itself'),
  },
  {
    name: 'NATS is killed and started again',
    at: 'tune',
    strike: async ({ cluster }) => {
      await cluster.nats.kill();
      await cluster.nats.start();
    },
  },
];

faultSuite('cluster', { coordinators: 2, workers: 2 }, cases);
