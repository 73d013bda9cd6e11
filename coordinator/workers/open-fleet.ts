// Opens the fleet of one coordinator: heartbeats in, tasks out.
import type { Bus } from '../../shared/bus/bus.ts';
import { toEspalierError } from '../../shared/errors.ts';
import type { DeviceClass } from '../../shared/rpc/protocol.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import { type Clock, SYSTEM_CLOCK } from './clock.ts';
import { describeClass } from './device-class.ts';
import type { Fleet, FleetJob } from './fleet.ts';
import { type FleetListener, SILENT_LISTENER } from './fleet-listener.ts';
import { FleetRegistry } from './fleet-registry.ts';
import { LoadExchange } from './load-exchange.ts';
import { Scheduler } from './scheduler.ts';
import type { PooledWorker } from './worker-source.ts';
import type { Workers } from './workers.ts';

export interface OpenFleetOptions {
  readonly bus: Bus;
  /** Null: connects without TLS, to loopback addresses only unless `insecure`. Stays the caller's. */
  readonly tls: Tls | null;
  readonly insecure: boolean;
  /** What every worker's certificate must name; left out: the host of its address. */
  readonly workerTlsName?: string | null;
  readonly coordinatorId: string;
  /** Told once of each worker that is left out, and why. */
  readonly onNotice: (text: string) => void;
  readonly listener?: FleetListener;
  readonly clock?: Clock;
}

/** Listens for workers from now on. Close it before the bus. */
export async function openFleet(options: OpenFleetOptions): Promise<Fleet> {
  const { clock = SYSTEM_CLOCK, listener = SILENT_LISTENER } = options;
  const registry = new FleetRegistry({ ...options, clock, onUpload: (count) => listener.bytes('out', count) });
  const exchange = new LoadExchange(options.bus, clock);
  const { others } = exchange;
  const scheduler = new Scheduler(registry, { clock, listener, others, onHomes: () => exchange.changed() });
  const waiting = new Set<FleetJob>();
  // A job without any worker has not cut its work into tasks yet: it is one that waits.
  const pendingTasks = () => scheduler.pendingTasks + waiting.size;
  exchange.begin({
    get load() {
      return { ...scheduler.load, pendingTasks: pendingTasks() };
    },
    othersChanged: () => scheduler.othersChanged(),
  });
  const serving = () => registry.workers.filter(({ isLeaving }) => !isLeaving);
  return {
    join: (job) => joinFleet(job, registry, scheduler, waiting),
    get size() {
      return serving().length;
    },
    get pendingTasks() {
      return pendingTasks();
    },
    get clusterPendingTasks() {
      return exchange.pendingTasks;
    },
    get handOvers() {
      return scheduler.handOvers;
    },
    get workers() {
      return scheduler.busyRatios;
    },
    async close() {
      exchange.close();
      scheduler.close();
      registry.close();
    },
  };
}

async function joinFleet(
  job: FleetJob,
  registry: FleetRegistry,
  scheduler: Scheduler,
  waiting: Set<FleetJob>,
): Promise<Workers> {
  waiting.add(job);
  const deviceClass = await untilThere(job, registry, scheduler).finally(() => waiting.delete(job));
  const tasks = scheduler.join({ ...job, deviceClass });
  const key = describeClass(deviceClass);
  const ofClass = () => registry.workers.filter((worker) => describeClass(worker.deviceClass) === key);
  let memoryBytes = Math.min(...ofClass().map((worker) => worker.memoryBytes));
  const abort = () => tasks.leave(toEspalierError(job.signal.reason));
  job.signal.addEventListener('abort', abort, { once: true });
  return {
    deviceClass,
    get count() {
      return tasks.homeSize;
    },
    get tuningSpread() {
      return tasks.tuningSpread;
    },
    get memoryBytes() {
      const there = ofClass();
      if (there.length > 0) memoryBytes = Math.min(...there.map((worker) => worker.memoryBytes));
      return memoryBytes;
    },
    get workerTimes() {
      return tasks.workerTimes;
    },
    bring: (blobs) => tasks.bring(blobs),
    runTasks: (specs, options) => tasks.runTasks(specs, options),
    rest: () => tasks.rest(),
    async close() {
      job.signal.removeEventListener('abort', abort);
      tasks.leave();
    },
  };
}

/** The class of the job, once a worker of it is there. */
async function untilThere(job: FleetJob, registry: FleetRegistry, scheduler: Scheduler): Promise<DeviceClass> {
  let told = false;
  for (;;) {
    job.signal.throwIfAborted();
    const found = chooseClass(job.deviceClass, registry.workers, (device) => scheduler.jobsOf(device));
    if (found !== null) return found;
    const wanted = job.deviceClass === null ? 'a worker' : `a worker of class ${describeClass(job.deviceClass)}`;
    if (!told) job.onEvent({ kind: 'notice', text: `waits for ${wanted}` });
    told = true;
    await nextChange(registry, job.signal);
  }
}

/** The one asked for, if it is there; else that with the most workers for each of its jobs, counting this one. */
export function chooseClass(
  wanted: DeviceClass | null,
  workers: readonly PooledWorker[],
  jobsOf: (device: DeviceClass) => number,
): DeviceClass | null {
  const counts = new Map<string, { device: DeviceClass; count: number }>();
  for (const { deviceClass: device, isLeaving } of workers) {
    if (isLeaving) continue;
    const key = describeClass(device);
    counts.set(key, { device, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  if (wanted !== null) return counts.get(describeClass(wanted))?.device ?? null;
  const shares = [...counts.values()].map(({ device, count }) => ({ device, share: count / (jobsOf(device) + 1) }));
  return shares.sort((a, b) => b.share - a.share)[0]?.device ?? null;
}

function nextChange(registry: FleetRegistry, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      unsubscribe();
      signal.removeEventListener('abort', abort);
    };
    const abort = () => {
      stop();
      reject(toEspalierError(signal.reason));
    };
    const unsubscribe = registry.subscribe(() => {
      stop();
      resolve();
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}
