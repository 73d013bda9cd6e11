// Connections that are cut, refused, slow or silent, on every kind of link between the processes of a cluster.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { LEASE_SECONDS } from '../support/cluster.ts';
import type { FaultProxy } from '../support/fault-proxy.ts';
import type { Moment, Strike } from './fault-bench.ts';
import { type FaultCase, faultSuite } from './fault-suite.ts';

/** Longer than a lease and than the silence after which a worker is dropped. */
const OUTAGE_MS = Math.max(LEASE_SECONDS * 2, 9) * 1_000;
/** A line between continents. */
const SLOW = { delayMs: 30, bytesPerSecond: 4e6 };

const LINKS: readonly { readonly name: string; readonly of: (strike: Strike) => FaultProxy }[] = [
  { name: 'worker and coordinators', of: ({ cluster, worker }) => cluster.links.worker(worker.name) },
  { name: 'coordinator and NATS', of: ({ cluster, owner }) => cluster.links.nats(owner.name) },
  { name: 'worker and NATS', of: ({ cluster, worker }) => cluster.links.nats(worker.name) },
];

const FAULTS: readonly {
  readonly name: string;
  readonly at: Moment;
  readonly does: (link: FaultProxy) => Promise<void>;
}[] = [
  {
    name: 'cut once',
    at: 'tune',
    does: async (link) => void assert.ok(link.cut() > 0, 'there was a connection to cut'),
  },
  {
    name: 'cut and refused for a while',
    at: 'tune',
    does: async (link) => {
      link.set({ refuse: true });
      assert.ok(link.cut() > 0, 'there was a connection to cut');
      await pause(OUTAGE_MS);
      link.heal();
    },
  },
  {
    name: 'slow to the end',
    at: 'load',
    does: async (link) => link.set(SLOW),
  },
  {
    name: 'silent for a while',
    at: 'fisher',
    does: async (link) => {
      link.set({ silent: true });
      await pause(OUTAGE_MS);
      link.heal();
    },
  },
  {
    name: 'silent to the end',
    at: 'tune',
    does: async (link) => link.set({ silent: true }),
  },
];

const cases = LINKS.flatMap(({ name: link, of }) =>
  FAULTS.map(
    ({ name, at, does }): FaultCase => ({
      name: `${link}, ${name}`,
      at,
      strike: async (strike) => {
        const proxy = of(strike);
        assert.ok(proxy.bytes > 0, 'the link is in use');
        await does(proxy);
      },
    }),
  ),
);

faultSuite('links', { coordinators: 2, workers: 2, proxied: true }, cases);
