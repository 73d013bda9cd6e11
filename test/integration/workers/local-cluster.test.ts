// Real worker processes with the real engine: they start, die alone, and never outlive whoever forked them.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LocalCluster } from '../../../coordinator/workers/local-cluster.ts';
import { openWorkers } from '../../../coordinator/workers/workers.ts';
import { isRunning } from '../../support/processes.ts';
import { until } from '../../support/until.ts';

let blobDir = '';
before(async () => {
  blobDir = await mkdtemp(path.join(tmpdir(), 'espalier-cluster-'));
});
after(() => rm(blobDir, { recursive: true, force: true }));

test('a worker that is killed is reported, the others go on, and close leaves none', async () => {
  const exits: string[] = [];
  const cluster = await LocalCluster.start({
    count: 2,
    blobDir,
    device: 'cpu',
    onExit: (address, reason) => exits.push(`${address}: ${reason}`),
  });
  const { pids, addresses } = cluster;
  try {
    assert.equal(new Set(addresses).size, 2);
    process.kill(pids[0], 'SIGKILL');
    await until('it is reported', () => exits.length === 1);
    assert.equal(exits[0], `${addresses[0]}: ended by SIGKILL`);
    assert.ok(isRunning(pids[1]));
  } finally {
    await cluster.close();
  }
  assert.deepEqual(pids.filter(isRunning), []);
  assert.equal(exits.length, 1, 'an end that was asked for is no news');
});

test('workers end at once when the process that forked them is killed', async () => {
  const program = fileURLToPath(new URL('../../support/fork-and-wait.js', import.meta.url));
  const parent = fork(program, [blobDir], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  let printed = '';
  parent.stdout?.on('data', (text) => {
    printed += String(text);
  });
  await until('both serve', () => printed.includes('\n'), 60_000);
  const pids = JSON.parse(printed) as number[];
  assert.ok(pids.every(isRunning));
  parent.kill('SIGKILL');
  await until('both are gone', () => !pids.some(isRunning), 2_000);
});

test('a start that fails says why and leaves none running', async () => {
  const starting = LocalCluster.start({ count: 2, blobDir, device: 'cpu', threads: 0 });
  await assert.rejects(starting, {
    code: 'usage',
    message: '--threads: got "0", expected a whole number in [1, 1024]',
  });
});

test('a start that takes too long is given up', async () => {
  const starting = LocalCluster.start({ count: 1, blobDir, device: 'cpu', startTimeoutMs: 1 });
  await assert.rejects(starting, { code: 'engine', message: /^local worker \d+: not ready after 0\.001 s/ });
});

test('a start can be interrupted', async () => {
  const starting = LocalCluster.start({ count: 1, blobDir, device: 'cpu', signal: AbortSignal.abort() });
  await assert.rejects(starting, { code: 'cancelled' });
});

test('openWorkers has all local workers when it returns, and ends them', async () => {
  // Meant for workers on other machines: those of this one must not take them for theirs.
  process.env.ESPALIER_TLS_CA = '/nowhere/ca.pem';
  const events: string[] = [];
  const workers = await openWorkers({
    settings: { local: 2, addresses: [], device: 'cpu' },
    blobDir,
    onEvent: ({ kind }) => events.push(kind),
  });
  try {
    assert.equal(workers.count, 2);
    assert.equal(workers.deviceClass.kind, 'cpu');
    assert.ok(workers.memoryBytes > 0);
    assert.deepEqual(events, ['worker-joined', 'worker-joined']);
  } finally {
    await workers.close();
  }
  assert.equal(workers.count, 0);
});
