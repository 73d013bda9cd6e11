// The trace of a submit from its client on: the context that the command makes, over real gRPC into the record, and from the
// record to the span of a task on a worker.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { JobTelemetry } from '../../../coordinator/job-telemetry.ts';
import { Scheduler } from '../../../coordinator/workers/scheduler.ts';
import { WorkerPool } from '../../../coordinator/workers/worker-pool.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { SILENT_LOG } from '../../../shared/log.ts';
import { openTracer } from '../../../shared/telemetry/open-tracer.ts';
import { parseTraceparent, type Tracer } from '../../../shared/telemetry/trace.ts';
import { ApiWorld, blobOf, inputs, upload } from '../../support/api-world.ts';
import { FAKE_DEVICE, squareOfFirstShard, startFakeWorker } from '../../support/fake-executor.ts';
import { shardTasks } from '../../support/fake-tasks.ts';
import { OtlpReceiver } from '../../support/otlp-receiver.ts';

const releases = new Releases();
let world: ApiWorld;
const receiver = new OtlpReceiver();
let endpoint = '';

before(async () => {
  world = await ApiWorld.open();
  endpoint = await receiver.listen();
});
after(async () => {
  await releases.run();
  await receiver.close();
  await world.close();
});

async function tracerOf(process: string): Promise<Tracer> {
  const tracer = await openTracer({ endpoint, process, instance: '1', version: '1', log: SILENT_LOG });
  releases.add(() => tracer.close());
  return tracer;
}

test('the context of a client is that of its jobs and of their tasks on workers', async () => {
  const [coordinator, ofWorker] = [await tracerOf('coordinator'), await tracerOf('worker')];
  const api = await world.seat({ tracer: coordinator });
  const [model, data] = [blobOf('weights'), blobOf('{"text": "a", "label": 1}\n')];
  for (const blob of [model, data]) await upload(api.blobs, blob);
  const campaignJson = JSON.stringify({ name: 't', jobs: [{ model: 'bert', data: 'd.jsonl', budgets: [0.5] }] });
  const client = await world.client([api.address]);

  const given = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const named = await client.submit({ clientKey: 'given', campaignJson, inputs: inputs(model, data) }, given);
  const ownTrace = await client.submit({ clientKey: 'own', campaignJson, inputs: inputs(model, data) });
  const record = await api.store.read(named.jobs[0]!.id);
  const own = parseTraceparent((await api.store.read(ownTrace.jobs[0]!.id)).traceparent);
  assert.equal(parseTraceparent(record.traceparent)?.traceId, '4bf92f3577b34da6a3ce929d0e0e4736');
  assert.ok(own !== null && own.traceId !== '4bf92f3577b34da6a3ce929d0e0e4736', 'a submit has a trace of its own');

  const worker = await startFakeWorker({ run: squareOfFirstShard, tracer: ofWorker });
  releases.add(() => worker.close());
  const pool = new WorkerPool({ addresses: [worker.address], graceMs: 10_000 });
  releases.add(() => pool.close());
  const scheduler = new Scheduler(pool);
  releases.add(() => scheduler.close());
  await pool.ready();
  const listener = { stageFinished: () => {}, modelPruned: () => {} };
  const telemetry = new JobTelemetry({ record, tracer: coordinator, listener });
  const { beginTry } = telemetry;
  const tasks = scheduler.join({ id: record.id, priority: 0, deviceClass: FAKE_DEVICE, models: [], beginTry });
  telemetry.note({ kind: 'stage-started', stage: 'fisher', steps: 1 });
  await tasks.runTasks(shardTasks(1));
  telemetry.end({ results: [] });
  await worker.close();
  await ofWorker.close();
  await coordinator.close();

  // From the task's span on the worker up to what the client sent.
  const spans = new Map(receiver.spans.map((span) => [span.spanId, span]));
  const names: string[] = [];
  let at = receiver.spans.find(({ name }) => name === 'run');
  assert.equal(at?.traceId, '4bf92f3577b34da6a3ce929d0e0e4736');
  let root: string | undefined;
  for (; at !== undefined; at = spans.get(at.parentSpanId ?? '')) {
    names.push(at.name);
    root = at.parentSpanId;
  }
  assert.deepEqual(names, ['run', 'task', 'stage', 'job', 'submit']);
  assert.equal(root, '00f067aa0ba902b7');
});
