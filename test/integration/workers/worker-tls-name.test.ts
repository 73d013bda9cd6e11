// Workers at addresses that their certificates do not hold: --worker-tls-name says which name they must hold in its place.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import type { Fleet } from '../../../coordinator/workers/fleet.ts';
import { openFleet } from '../../../coordinator/workers/open-fleet.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { Tls } from '../../../shared/rpc/tls.ts';
import { startAnnouncedWorker } from '../../support/announced-worker.ts';
import { Certificates } from '../../support/certificates.ts';
import { shardTasks, squares } from '../../support/fake-tasks.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { until } from '../../support/until.ts';

const NAME = 'worker.espalier.svc';

const certificates = new Certificates([NAME]);
let server: NatsServer;
let bus: Bus;
let releases = new Releases();
before(async () => {
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
});
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});
after(async () => {
  await bus?.close();
  await server?.remove();
  certificates.remove();
});

async function tlsOf(role: 'worker' | 'coordinator'): Promise<Tls> {
  const tls = await Tls.open(certificates.of(role), role);
  releases.add(() => tls.close());
  return tls;
}

/** A worker at 127.0.0.1, and a fleet that has heard of it. @param role of the worker's certificate. */
async function opened(role: 'worker' | 'coordinator', workerTlsName: string | null) {
  const notices: string[] = [];
  const fleet: Fleet = await openFleet({
    ...{ bus, tls: await tlsOf('coordinator'), insecure: false, workerTlsName, coordinatorId: 'c' },
    onNotice: (text) => notices.push(text),
  });
  releases.add(() => fleet.close());
  const worker = await startAnnouncedWorker(bus, { tls: await tlsOf(role) });
  releases.add(() => worker.close());
  return { fleet, worker, notices };
}

test('a certificate with the name alone serves a worker at an address', async () => {
  const { fleet, notices } = await opened('worker', NAME);
  await until('it is there', () => fleet.size === 1);
  const workers = await fleet.join({
    ...{ id: 'job', campaign: 'campaign', priority: 0, deviceClass: null, models: [] },
    ...{ onEvent: () => {}, signal: new AbortController().signal },
  });
  releases.add(() => workers.close());
  assert.deepEqual(squares(await workers.runTasks(shardTasks(3))), [0, 1, 4]);
  assert.deepEqual(notices, []);
});

for (const [what, role, name, refusal] of [
  ['without the name', 'worker', null, `[tls] ADDRESS: got a certificate for ${NAME}, expected one for 127.0.0.1`],
  [
    'under another name',
    'worker',
    'w.example',
    `[tls] ADDRESS: got a certificate for ${NAME}, expected one for w.example`,
  ],
  [
    'with another role',
    'coordinator',
    NAME,
    '[wrong_role] ADDRESS: the worker: got a certificate with role coordinator, expected worker',
  ],
] as const)
  test(`it is refused ${what}`, async () => {
    const { fleet, worker, notices } = await opened(role, name);
    await until('it is told', () => notices.length > 0);
    const { address } = worker;
    assert.ok(
      notices[0]!.startsWith(`worker ${address} is left out: ${refusal.replace('ADDRESS', address)};`),
      notices[0],
    );
    assert.equal(fleet.size, 0);
  });
