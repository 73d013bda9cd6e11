// Messages that come twice, late, in another order, or that are nonsense; claims that two coordinators make at once.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Bus } from '../../shared/bus/bus.ts';
import { type Heartbeat, WORKER_SUBJECT } from '../../shared/bus/heartbeat.ts';
import { until } from '../support/until.ts';
import { type FaultCase, faultSuite } from './fault-suite.ts';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value));

/** Listens until every worker has told of itself a few times. @returns what came, in order. */
async function someHeartbeats(bus: Bus, workers: number): Promise<{ subject: string; payload: Uint8Array }[]> {
  const heard: { subject: string; payload: Uint8Array }[] = [];
  const end = bus.subscribe(`${WORKER_SUBJECT}.>`, (subject, payload) => heard.push({ subject, payload }));
  await until('heartbeats', () => heard.length >= 2 * workers, 30_000);
  end();
  return heard;
}

const cases: readonly FaultCase[] = [
  {
    name: 'wake tokens of the running job, of ended ones and of none, a hundred times',
    at: 'fisher',
    strike: async ({ watch, job }) => {
      const known = watch.records.map(({ id }) => id);
      const unknown = Array.from({ length: 20 }, () => randomBytes(8).toString('hex'));
      for (let i = 0; i < 100; i += 1) await watch.bus.wake.add([job, ...known, ...unknown][i % (known.length + 21)]);
    },
    proof: ({ attempt }) => assert.equal(attempt, 1, 'claimed once'),
  },
  {
    name: 'heartbeats that come again, in the opposite order',
    at: 'fisher',
    strike: async ({ watch, cluster }) => {
      const heard = await someHeartbeats(watch.bus, cluster.workers.length);
      for (let i = 0; i < 50; i += 1)
        for (const { subject, payload } of heard.toReversed()) watch.bus.publish(subject, payload);
    },
    proof: ({ attempt }) => assert.equal(attempt, 1),
  },
  {
    name: 'a message that a living worker is gone',
    at: 'tune',
    strike: async ({ watch, cluster }) => {
      for (const { subject, payload } of await someHeartbeats(watch.bus, cluster.workers.length)) {
        const heartbeat = JSON.parse(Buffer.from(payload).toString()) as Heartbeat;
        watch.bus.publish(subject, encode({ ...heartbeat, state: 'gone' }));
      }
    },
    proof: ({ attempt }) => assert.equal(attempt, 1),
  },
  {
    name: 'heartbeats that are none, and of workers that are not there',
    at: 'fisher',
    strike: async ({ watch, cluster }) => {
      const [{ payload }] = await someHeartbeats(watch.bus, cluster.workers.length);
      const heartbeat = JSON.parse(Buffer.from(payload).toString()) as Heartbeat;
      const nonsense: readonly Uint8Array[] = [
        Buffer.from(''),
        randomBytes(1_000),
        Buffer.alloc(200_000, '['),
        encode(null),
        encode([]),
        encode({}),
        encode({ ...heartbeat, schema: 99 }),
        encode({ ...heartbeat, address: 12 }),
        encode({ ...heartbeat, address: '127.0.0.1:1\n' }),
        encode({ ...heartbeat, address: `${'x'.repeat(100_000)}:1` }),
        encode({ ...heartbeat, deviceClass: null }),
        encode({ ...heartbeat, tasks: -1, taskLimit: 1e300 }),
        encode({ ...heartbeat, models: Array.from({ length: 10_000 }, () => 'x') }),
      ];
      for (let i = 0; i < 200; i += 1)
        watch.bus.publish(`${WORKER_SUBJECT}.${randomBytes(8).toString('hex')}`, nonsense[i % nonsense.length]);
      // Well formed, at an address where nothing listens.
      const instanceId = randomBytes(16).toString('hex');
      watch.bus.publish(
        `${WORKER_SUBJECT}.${instanceId}`,
        encode({ ...heartbeat, instanceId, address: '127.0.0.1:1' }),
      );
    },
    proof: ({ attempt }, { cluster }) => {
      assert.equal(attempt, 1);
      for (const { name, starts } of cluster.coordinators) assert.equal(starts, 1, `${name} was never restarted`);
    },
  },
  {
    name: 'the lease of the coordinator is taken away',
    at: 'tune',
    strike: async ({ watch, job }) => {
      const key = `coordinator.${watch.record(job).lease?.owner}`;
      for (;;) {
        const entry = await watch.bus.leases.get(key);
        if (entry === null || (await watch.bus.leases.delete(key, entry.revision))) break;
      }
    },
  },
  {
    name: 'records and leases that are nonsense',
    at: 'fisher',
    strike: async ({ watch }) => {
      const { jobs, leases } = watch.bus;
      const id = () => randomBytes(8).toString('hex');
      for (const value of [
        Buffer.from(''),
        randomBytes(500),
        encode(null),
        encode({ schema: 1 }),
        encode({ schema: '2' }),
      ]) {
        await jobs.create(`job.${id()}`, value);
        await jobs.create(`campaign.${id()}`, value);
        await leases.create(`coordinator.${id()}`, value);
      }
    },
    proof: (_, { cluster }) => {
      for (const { name, starts } of cluster.coordinators) assert.equal(starts, 1, `${name} was never restarted`);
    },
  },
];

faultSuite('messages', { coordinators: 3, workers: 2 }, cases);
