// Workers that a job cannot use: of another version, and of another class of device. And coordinators of a version before.
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { RECORD_SCHEMA } from '../../coordinator/jobs/job-record.ts';
import { projectRoot } from '../../shared/project-root.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { until } from '../support/until.ts';
import { DEADLINE_MS, FaultBench } from './fault-bench.ts';

let bench: FaultBench;

before(async () => {
  bench = await FaultBench.open({ coordinators: 2, workers: 2 });
});

after(() => bench?.close());

// Whatever the one before has left broken.
beforeEach(() => bench.rest());

/** A checkout of another version: this one's build with another number of the protocol. @returns its worker program. */
function otherVersion(folder: string): string {
  const root = projectRoot();
  mkdirSync(folder, { recursive: true });
  for (const name of ['dist', 'protos']) cpSync(path.join(root, name), path.join(folder, name), { recursive: true });
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as object;
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ ...manifest, version: '99.0.0' }));
  const protocol = path.join(folder, 'dist/shared/rpc/protocol.js');
  const source = readFileSync(protocol, 'utf8');
  assert.match(source, /PROTOCOL_VERSION = \d+/);
  writeFileSync(protocol, source.replace(/PROTOCOL_VERSION = \d+/, 'PROTOCOL_VERSION = 9999'));
  return path.join(folder, 'dist/worker/main.js');
}

/** Whether a worker has computed a task of this job. */
function hasWorkedOn(worker: ClusterProcess, job: string): boolean {
  return worker
    .log()
    .split('\n')
    .some((line) => line.includes('"task computed"') && line.includes(job));
}

test('fleet: a worker of another version among the others', async () => {
  const { cluster, watch } = bench;
  const other = await cluster.addWorker([], otherVersion(path.join(cluster.folder, 'other-version')));
  const job = await bench.start();
  await watch.done([job.id], DEADLINE_MS);
  await cluster.removeWorker(other.name);
  await bench.finish('fleet: a worker of another version among the others', job);
  assert.ok(!hasWorkedOn(other, job.id));
  assert.ok(
    cluster.workers.some((worker) => hasWorkedOn(worker, job.id)),
    'the control',
  );
});

test('fleet: no worker but one of another class is left in tuning, until one comes back', async () => {
  const { cluster, watch } = bench;
  const [first, second] = cluster.workers;
  const job = await bench.start();
  await bench.reached(job.id, 'tune');
  const other = await cluster.addWorker(['--threads', '2']);
  await Promise.all([first.kill(), second.kill()]);
  await first.start();
  await watch.done([job.id], DEADLINE_MS);
  await cluster.removeWorker(other.name);
  await bench.finish('fleet: all workers of the class are killed in tuning, one comes back', job);
  assert.ok(!hasWorkedOn(other, job.id), 'another class would give other bits');
});

test('fleet: a worker joins in tuning and another drains', async () => {
  const { cluster, watch } = bench;
  const job = await bench.start();
  const { worker } = await bench.reached(job.id, 'tune');
  const added = await cluster.addWorker();
  const { code } = await worker.stop();
  assert.equal(code, 0, worker.lastLog());
  await watch.done([job.id], DEADLINE_MS);
  await cluster.removeWorker(added.name);
  const record = await bench.finish('fleet: a worker joins in tuning and another drains', job);
  assert.equal(record.attempt, 1);
});

test('fleet: the coordinator drains in tuning', async () => {
  const { watch } = bench;
  const job = await bench.start();
  const { owner } = await bench.reached(job.id, 'tune');
  const { code } = await owner.stop();
  assert.equal(code, 0, owner.lastLog());
  // Told by the events: a watch of the records need not see the moment in which nobody has the job.
  const states = (attempt: number) =>
    watch
      .events(job.id)
      .flatMap((told) => (told.attempt === attempt && told.event.kind === 'state' ? [told.event.state] : []));
  await until('the last event', () => states(2).at(-1) === 'done', DEADLINE_MS);
  const record = await bench.finish('fleet: the coordinator drains in tuning', job);
  assert.equal(record.deaths, 0, 'a drain is no death');
  assert.deepEqual(
    [states(1), states(2)],
    [
      ['running', 'queued'],
      ['running', 'done'],
    ],
  );
});

test('fleet: coordinators are upgraded over the state of an earlier schema', async () => {
  const { cluster, watch } = bench;
  const job = await bench.start();
  const { owner } = await bench.reached(job.id, 'tune');
  await Promise.all(cluster.coordinators.map((coordinator) => coordinator.stop()));
  const key = `job.${job.id}`;
  const entry = await watch.bus.jobs.get(key);
  assert.ok(entry?.value);
  // What later schemas have brought is not there, and the method has its name of then (see coordinator/jobs/migrate-record.ts).
  const { position, requeues, stageAttempt, ...record } = JSON.parse(Buffer.from(entry.value).toString());
  assert.deepEqual(
    [typeof position, typeof requeues, typeof stageAttempt, record.schema, record.spec.method],
    [...Array(3).fill('number'), RECORD_SCHEMA, 'paper'],
  );
  const spec = { ...record.spec, method: 'tune' };
  const earlier = Buffer.from(JSON.stringify({ ...record, spec, schema: 1 }));
  assert.notEqual(await watch.bus.jobs.update(key, earlier, entry.revision), null);
  await Promise.all(cluster.coordinators.map((coordinator) => coordinator.start()));
  const finished = await bench.finish('fleet: coordinators are upgraded over the state of an earlier schema', job);
  assert.deepEqual([finished.schema, finished.spec.method], [RECORD_SCHEMA, 'paper']);
  assert.ok(owner.starts >= 2);
});

test('fleet: everything ends when it is told to', () => bench.stop());
