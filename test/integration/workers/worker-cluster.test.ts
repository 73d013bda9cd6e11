// A real worker process as a member of a cluster, with a real nats-server: what it says of itself, where it gets blobs
// from, and what happens when NATS, or it, goes away.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { denseMasks } from '../../../pruning/masks.ts';
import { blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { HEARTBEAT_SCHEMA, type Heartbeat, WORKER_SUBJECT } from '../../../shared/bus/heartbeat.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { connectWorker } from '../../../shared/rpc/channel.ts';
import { PROTOCOL_VERSION, type RunRequestBody } from '../../../shared/rpc/protocol.ts';
import { readTensors } from '../../../shared/rpc/tensor-stream.ts';
import { startWorker } from '../../support/hand-worker.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { type TinyTask, tinyTask } from '../../support/tiny-task.ts';
import { until } from '../../support/until.ts';
import { maskSet } from '../engine/request-desk.ts';
import { HEADS, LAYERS, NEURONS } from '../engine/tiny-model.ts';

let nats: NatsServer;
let bus: Bus;
const heard: Heartbeat[] = [];
before(async () => {
  nats = await NatsServer.start();
  bus = await connectBus(nats.settings(), { create: true });
  bus.subscribe(`${WORKER_SUBJECT}.>`, (_subject, payload) => {
    heard.push(JSON.parse(new TextDecoder().decode(payload)) as Heartbeat);
  });
});
after(async () => {
  await bus?.close();
  await nats?.remove();
});

function temporaryFolder(t: test.TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'espalier-member-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const member = (folder: string, ...more: string[]) =>
  startWorker(folder, 0, ['--host', '127.0.0.1', '--nats', nats.url, ...more]);

const of = (address: string) => heard.filter((heartbeat) => heartbeat.address === address);
const last = (address: string) => of(address).at(-1);

function run(t: test.TestContext, address: string) {
  const connection = connectWorker(address);
  t.after(() => connection.close());
  return (request: RunRequestBody) => readTensors(connection.worker.run(request, { deadline: Date.now() + 20_000 }));
}

const put = ({ weights, plan }: TinyTask) =>
  Promise.all([weights, plan].map((blob) => bus.objects.put(blob.digest, blob.sizeBytes, blob.open())));

test('heartbeats say where and what it is, what it holds, and when it leaves', async (t) => {
  const worker = await member(temporaryFolder(t), '--queue', '7');
  await until('a heartbeat', () => last(worker.address) !== undefined);
  const { instanceId, deviceClass, memoryBytes, host, version, ...rest } = last(worker.address)!;
  assert.deepEqual(rest, {
    schema: HEARTBEAT_SCHEMA,
    address: worker.address,
    protocolVersion: PROTOCOL_VERSION,
    state: 'serving',
    tasks: 0,
    taskLimit: 8,
    models: [],
  });
  assert.ok(memoryBytes > 0 && host !== '' && /^\d/.test(version) && deviceClass.kind === 'cpu');
  const before = of(worker.address).length;
  await until('they go on by themselves', () => of(worker.address).length >= before + 2);

  const task = await tinyTask(t);
  await put(task);
  await run(t, worker.address)(task.request);
  await until('the model is told', () => last(worker.address)?.models.includes(task.weights.digest) === true);

  await worker.kill('SIGTERM');
  await until('it says goodbye', () => last(worker.address)?.state === 'gone');
  const states = of(worker.address).map(({ state }) => state);
  assert.deepEqual([...new Set(states)], ['serving', 'draining', 'gone']);
  assert.ok(of(worker.address).every((heartbeat) => heartbeat.instanceId === instanceId));
});

test('the address that is advertised is the one that is said', async (t) => {
  const worker = await member(temporaryFolder(t), '--advertise', 'localhost');
  await until('a heartbeat', () => last(`localhost:${worker.port}`) !== undefined);
  await worker.kill('SIGTERM');
});

test('blobs are pulled from the object store; what is not there is missing', async (t) => {
  const [folder, task] = [temporaryFolder(t), await tinyTask(t)];
  const remove = () => Promise.all([task.weights, task.plan].map(({ digest }) => bus.objects.delete(digest)));
  await remove();
  const worker = await member(folder);
  const ask = run(t, worker.address);
  await assert.rejects(ask(task.request), {
    code: 'blob_missing',
    message: new RegExp(`^not on this worker: .*${task.weights.digest}`),
  });
  await put(task);
  const first = await ask(task.request);
  assert.deepEqual([...first.keys()], ['logits']);
  // Another worker of this machine finds them in the folder, with the store gone.
  await remove();
  const second = await member(folder);
  assert.deepEqual(await run(t, second.address)(task.request), first);
  await worker.kill('SIGTERM');
  await second.kill('SIGTERM');
});

test('more than the cache holds is refused', async (t) => {
  const task = await tinyTask(t);
  await put(task);
  const worker = await member(temporaryFolder(t), '--blob-limit-gb', '0.001');
  const huge = { digest: blobOfBytes(Buffer.from('huge')).digest, sizeBytes: 2_000_000 };
  const { evaluate } = task.request;
  const request = { ...task.request, evaluate: { ...evaluate, model: { ...evaluate!.model, weights: [huge] } } };
  await assert.rejects(run(t, worker.address)(request), {
    code: 'limit_exceeded',
    message: /^blobs of one task: got \d+ bytes, the cache of this worker holds 1000000$/,
  });
  await worker.kill('SIGTERM');
});

test('it serves on while NATS is away, and is heard again when NATS is back', async (t) => {
  const worker = await member(temporaryFolder(t));
  const task = await tinyTask(t);
  await put(task);
  const ask = run(t, worker.address);
  const expected = await ask(task.request);
  await nats.stop();
  assert.deepEqual(await ask(task.request), expected);
  await nats.start();
  const before = heard.length;
  await until('it is heard again', () => heard.slice(before).some(({ address }) => address === worker.address), 20_000);
  await worker.kill('SIGTERM');
});

test('while it drains it hands over the states that it has, and does nothing else', async (t) => {
  const worker = await member(temporaryFolder(t));
  const task = await tinyTask(t);
  await put(task);
  const ask = run(t, worker.address);
  const { model = null, plan = null } = task.request.evaluate ?? {};
  const masks = maskSet(denseMasks(LAYERS, HEADS, NEURONS));
  const step = { model, plan, teacher: masks, student: masks, layer: 1, subLayer: 'ffn' };
  const shards = { first: 0, end: 1 };
  const activations = (changes: object = {}) =>
    ask({ taskId: 'a', task: 'activations', activations: { ...step, shards, heldOnly: true, ...changes } });
  const sums = (more: object) =>
    ask({ taskId: 'n', task: 'normalEquations', normalEquations: { ...step, shards, ...more } });
  const expected = await activations({ heldOnly: false });
  await sums({ shards: { first: 0, end: 2 } });

  const gone = worker.kill('SIGTERM');
  await until('it says that it drains', () => last(worker.address)?.state === 'draining');
  const leaving = { code: 'worker_unavailable', message: /the worker is shutting down$/ };
  await assert.rejects(ask(task.request), leaving);
  await assert.rejects(sums({}), leaving);
  await assert.rejects(activations({ heldOnly: false }), leaving);
  assert.deepEqual(await activations(), expected, 'what it had before it was asked to end');
  assert.deepEqual(await activations({ shards: { first: 1, end: 2 } }).then(({ size }) => size > 1), true);
  const other = { code: 'worker_unavailable', message: /whose states are not kept here$/ };
  await assert.rejects(activations({ layer: 0 }), other);
  await gone;
  assert.equal(last(worker.address)?.state, 'gone');
});

test('started before NATS it waits, and SIGTERM ends the wait with exit code 0', async (t) => {
  const program = path.join(projectRoot(), 'dist/worker/main.js');
  const flags = ['--port=0', '--metrics-port=0', '--device=cpu', '--blob-dir', temporaryFolder(t)];
  const begin = (url: string) => {
    const child = spawn(process.execPath, [program, ...flags, '--nats', url], { stdio: ['ignore', 'ignore', 'pipe'] });
    t.after(() => child.kill('SIGKILL'));
    const output = { text: '' };
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.text += text;
    });
    return { child, output };
  };
  const other = await NatsServer.start();
  t.after(() => other.remove());
  await other.stop();
  const waiting = begin(other.url);
  const never = begin('nats://127.0.0.1:1');
  await once(never.child, 'spawn');
  await other.start();
  await until('it serves', () => waiting.output.text.includes('"message":"serving"'), 30_000);
  // Not before: a process that is still loading its modules ends by the signal itself.
  await until('it says that it waits', () => never.output.text.includes('waiting for NATS'), 30_000);
  assert.doesNotMatch(never.output.text, /serving/);
  never.child.kill('SIGTERM');
  assert.deepEqual(await once(never.child, 'exit'), [0, null], never.output.text);
  waiting.child.kill('SIGTERM');
  assert.deepEqual(await once(waiting.child, 'exit'), [0, null], waiting.output.text);
});
