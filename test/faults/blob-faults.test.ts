// Blobs whose bytes are not theirs any more: in the object store, in a worker's cache, in a coordinator's cache.
import assert from 'node:assert/strict';
import type { JobRecord } from '../../coordinator/jobs/job-record.ts';
import type { Strike } from './fault-bench.ts';
import { type FaultCase, faultSuite } from './fault-suite.ts';
import { corruptCached, corruptStagesAndKill, weightDigests } from './strikes.ts';

/** Damages the weights in a folder while a process that reads them is down. */
function corruptWeights({ watch, job }: Strike, folder: string): void {
  for (const digest of weightDigests(watch.record(job)))
    assert.ok(corruptCached(folder, digest), `${digest} is cached`);
}

function reused(record: JobRecord, { watch }: Strike, stage: string): boolean[] {
  return watch
    .events(record.id)
    .flatMap(({ attempt, event }) =>
      attempt === record.attempt && event.kind === 'stage-finished' && event.stage === stage ? [event.reused] : [],
    );
}

const cases: readonly FaultCase[] = [
  {
    name: 'stages damaged in the object store, their coordinator killed',
    at: 'tune',
    strike: corruptStagesAndKill,
    proof: (record, strike) => {
      assert.ok(record.attempt >= 2);
      assert.deepEqual(reused(record, strike, 'fisher'), [false], 'a damaged stage counts as missing');
    },
  },
  {
    name: 'coordinator killed with whole stages (control)',
    at: 'tune',
    strike: ({ owner }) => owner.kill(),
    proof: (record, strike) => assert.deepEqual(reused(record, strike, 'fisher'), [true]),
  },
  {
    name: "weights damaged in every worker's cache",
    at: 'load',
    strike: async (strike) => {
      for (const worker of strike.cluster.workers) {
        await worker.kill();
        corruptWeights(strike, strike.cluster.blobDir(worker.name));
      }
      await Promise.all(strike.cluster.workers.map((worker) => worker.start()));
    },
  },
  {
    name: "weights damaged in a coordinator's cache",
    at: 'load',
    strike: async (strike) => {
      await strike.owner.kill();
      for (const { name } of strike.cluster.coordinators) {
        const folder = strike.cluster.cacheDir(name);
        for (const digest of weightDigests(strike.watch.record(strike.job))) corruptCached(folder, digest);
      }
      await strike.owner.start();
    },
  },
];

faultSuite('blobs', { coordinators: 2, workers: 2 }, cases);
