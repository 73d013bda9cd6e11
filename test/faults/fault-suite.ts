// Runs cases of one kind: a job is submitted to a cluster at rest, something is broken at a moment of its life, and then
// it must be done all the same, with the bits of an undisturbed run, with nothing left behind. A case is one line of a
// table; what each cost is told at the end.
import { after, before, test } from 'node:test';
import type { JobRecord } from '../../coordinator/jobs/job-record.ts';
import type { ClusterPlan } from '../support/cluster.ts';
import { FaultBench, type Moment, type Strike } from './fault-bench.ts';

export interface FaultCase {
  readonly name: string;
  readonly at: Moment;
  /** Breaks something. What is broken is mended after the job has ended, unless the strike does it itself. */
  readonly strike: (strike: Strike) => Promise<void>;
  /** What the case must also have done, so that it did not pass for nothing. */
  readonly proof?: (record: JobRecord, strike: Strike) => void;
}

/** Declares the tests of a file: one for each case, all on one cluster. */
export function faultSuite(title: string, plan: ClusterPlan, cases: readonly FaultCase[]): void {
  let bench: FaultBench;

  before(async () => {
    bench = await FaultBench.open(plan);
  });

  for (const { name, at, strike, proof } of cases)
    test(`${title}: ${name}`, async () => {
      await bench.rest();
      const job = await bench.start();
      const reached = await bench.reached(job.id, at);
      await strike(reached);
      const record = await bench.finish(`${title}: ${name}`, job);
      proof?.(record, reached);
    });

  test(`${title}: everything ends when it is told to`, () => bench.stop());

  after(() => bench?.close());
}
