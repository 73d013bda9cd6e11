// One trace over two processes' worth of code: a job on a coordinator, its tasks on a worker behind real gRPC, received over
// real HTTP; and the worker's log lines that name the same job, attempt, task and trace.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Stage } from '../../../coordinator/job-events.ts';
import { JobTelemetry } from '../../../coordinator/job-telemetry.ts';
import { Scheduler } from '../../../coordinator/workers/scheduler.ts';
import { WorkerPool } from '../../../coordinator/workers/worker-pool.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { createLog, SILENT_LOG } from '../../../shared/log.ts';
import type { PrunedModel } from '../../../shared/telemetry/coordinator-metrics.ts';
import { openTracer } from '../../../shared/telemetry/open-tracer.ts';
import { inSpan, NO_TRACER, parseTraceparent, type Tracer } from '../../../shared/telemetry/trace.ts';
import { FAKE_DEVICE, type FakeRun, squareOfFirstShard, startFakeWorker } from '../../support/fake-executor.ts';
import { shardTasks } from '../../support/fake-tasks.ts';
import { named, OtlpReceiver } from '../../support/otlp-receiver.ts';

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

const RECORD = { id: '0123456789abcdef', campaign: 'fedcba9876543210', name: 'sst2', attempt: 2 };

async function tracers(): Promise<{ receiver: OtlpReceiver; coordinator: Tracer; worker: Tracer }> {
  const receiver = new OtlpReceiver();
  const endpoint = await receiver.listen();
  releases.add(() => receiver.close());
  const open = async (process: string) => {
    const tracer = await openTracer({ endpoint, process, instance: '1', version: '1', log: SILENT_LOG });
    releases.add(() => tracer.close());
    return tracer;
  };
  return { receiver, coordinator: await open('coordinator'), worker: await open('worker') };
}

async function schedulerWith(tracer: Tracer, run: FakeRun, lines: string[]) {
  const worker = await startFakeWorker({ run, tracer, log: createLog({}, (line) => lines.push(line)) });
  releases.add(() => worker.close());
  const pool = new WorkerPool({ addresses: [worker.address], graceMs: 10_000 });
  releases.add(() => pool.close());
  const scheduler = new Scheduler(pool);
  releases.add(() => scheduler.close());
  await pool.ready();
  return scheduler;
}

test('submit, job, stages, tasks and their runs on workers are one tree', async () => {
  const { receiver, coordinator, worker } = await tracers();
  let failures = 1;
  const lines: string[] = [];
  const scheduler = await schedulerWith(
    worker,
    (request) => {
      if (request.taskId === 'fisher/1' && failures-- > 0) throw new EspalierError('engine', 'once');
      return squareOfFirstShard(request);
    },
    lines,
  );

  const client = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const traceparent = await inSpan(coordinator, 'submit', client, async (own) => own);
  const finished: [Stage, number][] = [];
  const models: PrunedModel[] = [];
  const telemetry = new JobTelemetry({
    record: { ...RECORD, traceparent },
    tracer: coordinator,
    listener: {
      stageFinished: (stage, seconds) => finished.push([stage, seconds]),
      modelPruned: (model) => models.push(model),
    },
  });
  const tasks = scheduler.join({
    ...{ id: RECORD.id, priority: 0, deviceClass: FAKE_DEVICE, models: [] },
    beginTry: telemetry.beginTry,
  });
  telemetry.note({ kind: 'stage-started', stage: 'fisher', steps: 2 });
  await tasks.runTasks(shardTasks(2));
  telemetry.note({ kind: 'stage-finished', stage: 'fisher', seconds: 1.5, reused: false });
  telemetry.note({ kind: 'stage-started', stage: 'search', budget: '0.5', steps: 1 });
  telemetry.note({ kind: 'stage-finished', stage: 'search', budget: '0.5', seconds: 0, reused: true });
  telemetry.note({ kind: 'stage-started', stage: 'tune', budget: '0.5', steps: 8 });
  const report = { method: 'paper', quality: { dense: 0.92, tune: 0.9 } };
  telemetry.end({ results: [{ budget: '0.5', files: [], report }] });
  await worker.close();
  await coordinator.close();

  const { spans } = receiver;
  const children = (parent: string) => spans.filter(({ parentSpanId }) => parentSpanId === parent);
  const names = (parent: string) =>
    children(parent)
      .map(({ name }) => name)
      .sort();
  assert.deepEqual(new Set(spans.map(({ traceId }) => traceId)), new Set(['4bf92f3577b34da6a3ce929d0e0e4736']));
  const [submit] = children('00f067aa0ba902b7');
  assert.equal(submit.name, 'submit');
  const [job] = children(submit.spanId);
  assert.deepEqual(
    [job.name, named(job.attributes)],
    [
      'job',
      {
        'espalier.job': RECORD.id,
        'espalier.campaign': RECORD.campaign,
        'espalier.name': 'sst2',
        'espalier.attempt': 2,
      },
    ],
  );
  assert.deepEqual(names(job.spanId), ['stage', 'stage', 'stage']);
  const stage = (name: string) =>
    children(job.spanId).find(({ attributes }) => named(attributes)['espalier.stage'] === name)!;
  assert.deepEqual(named(stage('search').attributes), {
    'espalier.stage': 'search',
    'espalier.budget': '0.5',
    'espalier.reused': true,
  });
  // One of the two tasks was tried twice; each try has its run on the worker.
  const tries = children(stage('fisher').spanId);
  assert.deepEqual(tries.map(({ attributes }) => named(attributes)['espalier.task']).sort(), [
    'fisher/0',
    'fisher/1',
    'fisher/1',
  ]);
  for (const each of tries) assert.deepEqual(names(each.spanId), ['run']);
  const failed = tries.filter(({ status }) => status.code === 2);
  assert.deepEqual(
    failed.map(({ attributes }) => named(attributes)['error.type']),
    ['engine'],
  );
  assert.equal(children(failed[0].spanId)[0].status.code, 2);
  assert.ok(tries.every(({ kind }) => kind === 3) && tries.every(({ spanId }) => children(spanId)[0].kind === 2));

  assert.deepEqual(finished, [['fisher', 1.5]]);
  assert.equal(models.length, 1);
  assert.ok(Math.abs(models[0].accuracyDrop! - 0.02) < 1e-12);

  const entries = lines.map((line) => JSON.parse(line));
  assert.equal(entries.length, 3);
  for (const { job: id, attempt, task, trace } of entries) {
    assert.deepEqual([id, attempt, trace], [RECORD.id, 2, '4bf92f3577b34da6a3ce929d0e0e4736']);
    assert.match(task, /^fisher\/[01]$/);
  }
});

test('a job that fails ends its open stages as failed', async () => {
  const { receiver, coordinator } = await tracers();
  const telemetry = new JobTelemetry({ record: { ...RECORD, traceparent: null }, tracer: coordinator });
  telemetry.note({ kind: 'stage-started', stage: 'tune', budget: '0.5', steps: 8 });
  telemetry.end({ error: new EspalierError('not_finite', 'row 3') });
  await coordinator.close();
  assert.deepEqual(
    receiver.spans.map(({ name, status }) => [name, status.code, status.message]),
    [
      ['stage', 2, 'row 3'],
      ['job', 2, 'row 3'],
    ],
  );
});

test('without an exporter the logs of all processes name one trace all the same', async () => {
  const traceparent = await inSpan(NO_TRACER, 'submit', null, async (own) => own);
  assert.notEqual(parseTraceparent(traceparent), null);
  const telemetry = new JobTelemetry({ record: { ...RECORD, traceparent } });
  assert.deepEqual(telemetry.beginTry({ id: 'fisher/0', kind: 'fisher' }).context, {
    traceparent,
    job: RECORD.id,
    attempt: 2,
  });
});
