// The coordinator as a process: what it prints, how it begins, how it ends.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { submission } from '../../support/job-records.ts';
import { JobWorld } from '../../support/job-world.ts';
import { until } from '../../support/until.ts';

let world: JobWorld;
let bus: Bus;
let folder: string;

before(async () => {
  world = await JobWorld.open();
  bus = await connectBus(world.server.settings(), { create: true });
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-coordinator-'));
});
after(async () => {
  await bus?.close();
  await world?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Line {
  readonly message: string;
  readonly owner?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

function started(...flags: string[]) {
  const own = ['--nats', world.server.url, '--port=0', '--metrics-port=0', '--store-limit-gb=1', '--lease-seconds=2'];
  const file = path.join(projectRoot(), 'dist/coordinator/main.js');
  const child = spawn(process.execPath, [file, ...own, '--cache-dir', path.join(folder, 'cache'), ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let log = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const lines = () =>
    log
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, ended, lines, output: () => output };
}

for (const signal of ['SIGTERM', 'SIGHUP'] as const)
  test(`${signal} drains: its leases and its folders are gone, exit 0`, async () => {
    const { child, ended, lines } = started('--id', signal);
    await until('it serves', () => lines().some(({ message }) => message === 'serving'), 30_000);
    const { owner } = lines().find(({ message }) => message === 'serving')!;
    assert.match(owner!, new RegExp(`^${signal}-[0-9a-f]{8}$`));
    assert.notEqual(await bus.leases.get(`coordinator.${owner}`), null);
    // Without workers, and with a volume that it does not have, the job fails for good: claims work.
    const seat = await world.seat();
    const { jobs } = await seat.store.submit(submission(`process-${signal}`, ['one']));
    await until('the job failed', () => seat.store.summary(jobs[0].id)?.state === 'failed', 30_000);
    assert.equal(seat.store.summary(jobs[0].id)?.failure?.code, 'campaign_format');
    child.kill(signal);
    assert.equal(await ended, 0);
    const messages = lines().map(({ message }) => message);
    assert.ok(messages.includes('draining'));
    assert.equal(messages.at(-1), 'drained');
    assert.equal(await bus.leases.get(`coordinator.${owner}`), null);
    assert.equal(await bus.leases.get('task.retention'), null);
    assert.deepEqual(await readdir(path.join(folder, 'cache', 'jobs')), []);
  });

for (const trouble of ['gone', 'frozen'])
  test(`SIGTERM while NATS is ${trouble}: exit 0 in time, and no folders are left`, async () => {
    const { child, ended, lines } = started('--id', trouble);
    await until('it serves', () => lines().some(({ message }) => message === 'serving'), 30_000);
    if (trouble === 'frozen') world.server.freeze();
    else await world.server.stop('SIGKILL');
    try {
      const from = performance.now();
      child.kill('SIGTERM');
      assert.equal(await ended, 0);
      const tookMs = performance.now() - from;
      assert.ok(tookMs < 13_000, `${tookMs} ms`);
      assert.equal(lines().at(-1)?.message, 'drained');
      assert.deepEqual(await readdir(path.join(folder, 'cache', 'jobs')), []);
    } finally {
      if (trouble === 'frozen') world.server.thaw();
      else await world.server.start();
      await until('the connection', () => bus.isConnected);
    }
  });

test('what a killed coordinator left on disk goes when the next one starts', async () => {
  const first = started('--id', 'killed');
  await until('it serves', () => first.lines().some(({ message }) => message === 'serving'), 30_000);
  first.child.kill('SIGKILL');
  await first.ended;
  const jobs = path.join(folder, 'cache', 'jobs');
  const [left] = await readdir(jobs);
  assert.ok(left !== undefined);
  const second = started('--id', 'second');
  await until('it serves', () => second.lines().some(({ message }) => message === 'serving'), 30_000);
  assert.equal(existsSync(path.join(jobs, left)), false);
  second.child.kill('SIGTERM');
  assert.equal(await second.ended, 0);
});

test('wrong settings end it with exit code 2 and every problem; --print-config shows what is in force', async () => {
  const wrong = started('--bogus', '--retention-days=never');
  assert.equal(await wrong.ended, 2);
  assert.match(wrong.lines()[0].error!.message, /--bogus: unknown; --retention-days: got "never"/);
  const printed = started('--print-config');
  assert.equal(await printed.ended, 0);
  assert.equal((JSON.parse(printed.output()) as { leaseMs: number }).leaseMs, 2_000);
});
