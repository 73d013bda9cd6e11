// A fleet for tests of one job: workers that are there already. What tasks expect to find in the object store must be there;
// the workers, which know no store, are sent it.
import assert from 'node:assert/strict';
import type { Fleet, FleetJob } from '../../coordinator/workers/fleet.ts';
import { openWorkers, type Workers } from '../../coordinator/workers/workers.ts';
import type { ObjectBucket } from '../../shared/bus/bus.ts';

export interface ListedFleet extends Fleet {
  /** Jobs as they joined. */
  readonly joined: FleetJob[];
  /** Ids of the tasks that were run. */
  readonly tasks: string[];
}

/** @param addresses of its workers, asked for as a job joins.
 * @param refuse what a task fails with before it is sent, or null. */
export function listedFleet(
  objects: ObjectBucket,
  addresses: () => Promise<readonly string[]>,
  refuse: (task: string) => Error | null = () => null,
): ListedFleet {
  const joined: FleetJob[] = [];
  const tasks: string[] = [];
  const run = (workers: Workers): Workers['runTasks'] => {
    return async (specs, options) => {
      for (const { id, blobs } of specs) {
        tasks.push(id);
        const refusal = refuse(id);
        if (refusal !== null) throw refusal;
        for (const { digest, origin } of blobs)
          if (origin === 'store') assert.ok(await objects.find(digest), `${id}: ${digest} is not in the object store`);
      }
      const sent = specs.map((spec) => ({
        ...spec,
        blobs: spec.blobs.map(({ digest, sizeBytes, open }) => ({ digest, sizeBytes, open })),
      }));
      return workers.runTasks(sent, options);
    };
  };
  return {
    joined,
    tasks,
    size: 1,
    pendingTasks: 0,
    clusterPendingTasks: 0,
    handOvers: 0,
    workers: [],
    async join(job) {
      joined.push(job);
      const workers = await openWorkers({
        settings: { local: 0, addresses: await addresses(), device: 'cpu' },
        // Of workers that would be forked.
        blobDir: '',
        ...{ deviceClass: job.deviceClass, onEvent: job.onEvent, signal: job.signal },
      });
      return {
        get deviceClass() {
          return workers.deviceClass;
        },
        get count() {
          return workers.count;
        },
        get memoryBytes() {
          return workers.memoryBytes;
        },
        get workerTimes() {
          return workers.workerTimes ?? [];
        },
        runTasks: run(workers),
        close: () => workers.close(),
      };
    },
    async close() {},
  };
}
