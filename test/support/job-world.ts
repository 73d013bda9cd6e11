// Coordinators of a test over one real nats-server, each with a connection, an index and a table of leases of its own, as
// processes have them.
import { Coordinator, type CoordinatorOptions } from '../../coordinator/coordinator.ts';
import { ClusterJobStore } from '../../coordinator/jobs/cluster-job-store.ts';
import type { LeaseTable } from '../../coordinator/jobs/lease-table.ts';
import { OwnLease } from '../../coordinator/jobs/own-lease.ts';
import { watchLeases } from '../../coordinator/jobs/watch-leases.ts';
import type { Bus, KeyValueBucket } from '../../shared/bus/bus.ts';
import { connectBus } from '../../shared/bus/nats-bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { SILENT_LOG } from '../../shared/log.ts';
import { NatsServer } from './nats-server.ts';

/** Short, so that tests need not wait long; the ratios are those of a real one. */
export const LEASE_MS = 1_500;

export interface Seat {
  readonly bus: Bus;
  readonly store: ClusterJobStore;
  readonly leases: LeaseTable;
  /** Takes a lease as a coordinator of this name. */
  lease(name: string): Promise<OwnLease>;
  coordinator(
    id: string,
    options: Pick<CoordinatorOptions, 'runJob'> & Partial<CoordinatorOptions>,
  ): Promise<Coordinator>;
  /** Cuts the connection: what is open here reaches NATS no more. */
  cut(): Promise<void>;
}

export class JobWorld {
  readonly server: NatsServer;
  readonly #closes: (() => Promise<void> | void)[] = [];

  private constructor(server: NatsServer) {
    this.server = server;
  }

  static async open(): Promise<JobWorld> {
    return new JobWorld(await NatsServer.start());
  }

  /** @param wrap what this seat sees of the bus. */
  async seat(wrap: (bus: Bus) => Bus = (bus) => bus): Promise<Seat> {
    const real = await connectBus(this.server.settings(), { create: true, timeoutMs: 2_000 });
    this.#closes.push(() => real.close());
    const bus = wrap(real);
    const watches = new AbortController();
    const leases = await watchLeases(bus, LEASE_MS, watches.signal);
    const store = await ClusterJobStore.open(bus, SILENT_LOG);
    this.#closes.push(() => {
      watches.abort();
      store.close();
    });
    return {
      bus,
      store,
      leases,
      lease: async (name) => {
        const lease = await OwnLease.take(bus.leases, { key: `coordinator.${name}`, owner: name, leaseMs: LEASE_MS });
        if (lease === null) throw new Error(`${name} has a lease already`);
        this.#closes.push(() => lease.release());
        return lease;
      },
      coordinator: async (id, options) => {
        const coordinator = await Coordinator.start({
          ...{ bus, store, leases, id, leaseMs: LEASE_MS, maxJobs: () => 4, log: SILENT_LOG, sweepMs: 200 },
          ...options,
        });
        this.#closes.push(() => coordinator.drain());
        return coordinator;
      },
      cut: () => real.close(),
    };
  }

  /** Closes what was opened, newest first, and removes the server. */
  async close(): Promise<void> {
    for (let close = this.#closes.pop(); close !== undefined; close = this.#closes.pop()) await close();
    await this.server.remove();
  }
}

/** The bucket with some of its calls replaced. */
export function withJobs(bus: Bus, replace: (jobs: KeyValueBucket) => Partial<KeyValueBucket>): Bus {
  const { jobs } = bus;
  const whole: KeyValueBucket = {
    get: (key) => jobs.get(key),
    create: (key, value) => jobs.create(key, value),
    update: (key, value, revision) => jobs.update(key, value, revision),
    delete: (key, revision) => jobs.delete(key, revision),
    watch: (prefix, onEntry, signal, onRestart) => jobs.watch(prefix, onEntry, signal, onRestart),
    usage: () => jobs.usage(),
    ...replace(jobs),
  };
  return new Proxy(bus, {
    get: (target, name) => {
      if (name === 'jobs') return whole;
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

export function busAway(): EspalierError {
  return new EspalierError('bus_unavailable', 'the answer was lost');
}
