// No room left on the disk of a coordinator, of a worker, of NATS.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { command } from '../support/cluster-client.ts';
import { SmallDisk } from '../support/small-disk.ts';
import { until } from '../support/until.ts';
import { DEADLINE_MS, FaultBench } from './fault-bench.ts';

const disks = { a: SmallDisk.mount(160), w1: SmallDisk.mount(60), nats: SmallDisk.mount(200) };
const isMounted = Object.values(disks).every((disk) => disk !== null);
const skip = isMounted ? false : 'no file system can be mounted here';
const full = (name: keyof typeof disks) => disks[name] as SmallDisk;

let bench: FaultBench;

before(async () => {
  if (!isMounted) return;
  const place = Object.fromEntries(Object.entries(disks).map(([name, disk]) => [name, disk?.folder ?? '']));
  bench = await FaultBench.open({ coordinators: 1, workers: 2, place });
});

after(async () => {
  await bench?.close();
  for (const disk of Object.values(disks)) disk?.remove();
});

test('disks: a worker without room leaves the job to the others', { skip }, async () => {
  const job = await bench.start();
  await bench.reached(job.id, 'load');
  full('w1').fill();
  const name = 'disks: a worker has no room from load on';
  await bench.watch.ended([job.id], DEADLINE_MS);
  full('w1').free();
  const { attempt } = await bench.finish(name, job);
  assert.equal(attempt, 1);
});

test('disks: a coordinator without room fails the job with the reason; a retry goes on', { skip }, async () => {
  const { cluster, watch } = bench;
  const job = await bench.start();
  await bench.reached(job.id, 'tune');
  full('a').fill();
  await watch.ended([job.id], DEADLINE_MS);
  const { state, failure } = watch.record(job.id);
  assert.deepEqual([state, failure?.code], ['failed', 'disk_full']);
  assert.match(failure?.message ?? '', /ENOSPC|free/);
  full('a').free();
  const { code, stderr } = await command(cluster, ['retry', job.id]);
  assert.equal(code, 0, stderr);
  await until('it is queued again', () => watch.record(job.id).state !== 'failed');
  await bench.finish('disks: the coordinator has no room from tuning on, retried', job);
});

test('disks: NATS without room is waited for', { skip }, async () => {
  const { cluster } = bench;
  const job = await bench.start();
  await bench.reached(job.id, 'tune');
  full('nats').fill();
  await until(
    'NATS meets the end of its disk',
    () => /no space left|resources? exceeded|insufficient|DISABLED/i.test(cluster.nats.lastLog()),
    60_000,
  );
  full('nats').free();
  await cluster.nats.stop();
  await cluster.nats.start();
  await bench.finish('disks: NATS has no room in tuning', job);
});

test('disks: everything ends when it is told to', { skip }, () => bench.stop());
