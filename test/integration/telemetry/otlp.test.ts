// Traces against a real receiver: what arrives over HTTP is decoded as OTLP's JSON.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { createLog, SILENT_LOG } from '../../../shared/log.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { openTracer } from '../../../shared/telemetry/open-tracer.ts';
import { parseTraceparent, type Tracer } from '../../../shared/telemetry/trace.ts';
import { named, OtlpReceiver } from '../../support/otlp-receiver.ts';
import { until } from '../../support/until.ts';

describe('traces by OTLP', () => {
  const receivers: OtlpReceiver[] = [];
  const tracers: Tracer[] = [];
  afterEach(async () => {
    for (const tracer of tracers.splice(0)) await tracer.close();
    for (const receiver of receivers.splice(0)) await receiver.close();
  });

  async function receive(): Promise<{ receiver: OtlpReceiver; endpoint: string }> {
    const receiver = new OtlpReceiver();
    receivers.push(receiver);
    return { receiver, endpoint: await receiver.listen() };
  }

  async function open(endpoint: string, process = 'coordinator', log = SILENT_LOG): Promise<Tracer> {
    const tracer = await openTracer({ endpoint, process, instance: `${process}-1`, version: '1.2.3', log });
    tracers.push(tracer);
    return tracer;
  }

  it('arrive as one tree, of two processes, with what they tell', async () => {
    const { receiver, endpoint } = await receive();
    const coordinator = await open(endpoint);
    const worker = await open(`${endpoint}/`, 'worker');

    const submit = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const job = coordinator.start('job', { parent: submit, attributes: { 'espalier.job': '0123', attempt: 2 } });
    const stage = coordinator.start('stage', { parent: job.traceparent, attributes: { 'espalier.stage': 'fisher' } });
    const task = coordinator.start('task', { parent: stage.traceparent, kind: 'client' });
    const run = worker.start('run', { parent: task.traceparent, kind: 'server' });
    run.set({ 'espalier.cached': true });
    run.end();
    task.end();
    stage.end(new EspalierError('no_workers', 'the last one went'));
    stage.end();
    job.end();
    // What is left is sent when a process ends.
    await worker.close();
    await coordinator.close();

    const spans = new Map(receiver.spans.map((span) => [span.name, span]));
    assert.deepEqual([...spans.keys()].sort(), ['job', 'run', 'stage', 'task']);
    assert.equal(receiver.spans.length, 4);
    const chain = ['job', 'stage', 'task', 'run'].map((name) => spans.get(name)!);
    let parent = '00f067aa0ba902b7';
    for (const span of chain) {
      assert.equal(span.traceId, '4bf92f3577b34da6a3ce929d0e0e4736');
      assert.equal(span.parentSpanId, parent, span.name);
      assert.ok(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));
      parent = span.spanId;
    }
    // As OTLP counts: 1 internal, 2 server, 3 client; status 2 is an error.
    assert.deepEqual(
      chain.map(({ kind }) => kind),
      [1, 1, 3, 2],
    );
    assert.deepEqual(named(spans.get('job')!.attributes), { 'espalier.job': '0123', attempt: 2 });
    assert.deepEqual(named(spans.get('run')!.attributes), { 'espalier.cached': true });
    assert.deepEqual(spans.get('stage')!.status, { code: 2, message: 'the last one went' });
    assert.equal(named(spans.get('stage')!.attributes)['error.type'], 'no_workers');
    assert.deepEqual(new Set(receiver.paths), new Set(['POST /v1/traces application/json']));
    const resources = receiver.bodies.flatMap(({ resourceSpans }) => resourceSpans.map(({ resource }) => resource));
    assert.deepEqual(
      resources.map(({ attributes }) => named(attributes)),
      ['worker', 'coordinator'].map((name) => ({
        'service.name': `espalier-${name}`,
        'service.version': '1.2.3',
        'service.instance.id': `${name}-1`,
      })),
    );
  });

  it('begin a trace without a parent, and record nothing of a trace that is not recorded', async () => {
    const { receiver, endpoint } = await receive();
    const tracer = await open(endpoint);
    const root = tracer.start('root', { parent: 'nonsense' });
    assert.ok(parseTraceparent(root.traceparent)?.sampled);
    root.end();
    const unsampled = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';
    const quiet = tracer.start('quiet', { parent: unsampled });
    assert.equal(parseTraceparent(quiet.traceparent)?.sampled, false);
    quiet.end();
    await tracer.close();
    assert.deepEqual(
      receiver.spans.map(({ name, parentSpanId }) => [name, parentSpanId]),
      [['root', undefined]],
    );
  });

  it('come in a path below that of the endpoint', async () => {
    const { receiver, endpoint } = await receive();
    const tracer = await open(`${endpoint}/tenant/one`);
    tracer.start('job', { parent: null }).end();
    await tracer.close();
    assert.deepEqual(receiver.paths, ['POST /tenant/one/v1/traces application/json']);
  });

  it('tell once of a receiver that fails, without its password, and harm nothing', async () => {
    const { receiver, endpoint } = await receive();
    receiver.status = 400;
    const lines: string[] = [];
    const log = createLog({}, (line) => lines.push(line));
    const tracer = await open(endpoint.replace('http://', 'http://user:hunter2@'), 'coordinator', log);
    for (let i = 0; i < 600; i += 1) tracer.start('task', { parent: null }).end();
    await until('a failed export', () => receiver.paths.length >= 2);
    await tracer.close();
    assert.equal(lines.length, 1);
    const { level, message, receiver: told } = JSON.parse(lines[0]);
    assert.deepEqual([level, message, told], ['warning', 'traces not exported', new URL(endpoint).host]);
    assert.doesNotMatch(lines[0], /hunter2/);
  });

  it('keep a bounded queue while the receiver is silent, and end in time', { timeout: 20_000 }, async () => {
    const { receiver, endpoint } = await receive();
    receiver.isSilent = true;
    const tracer = await open(endpoint);
    const startedAt = performance.now();
    for (let i = 0; i < 50_000; i += 1) tracer.start('task', { parent: null }).end();
    await until('a batch', () => receiver.bodies.length > 0);
    await tracer.close();
    // Nothing waited for an answer that never comes: the queue holds 4096 spans, and closing takes three seconds at most.
    assert.ok(performance.now() - startedAt < 15_000);
    assert.ok(receiver.spans.length <= 4096 + 256, `${receiver.spans.length} spans`);
  });

  it('are not even loaded without an endpoint', () => {
    const program = (endpoint: string | null) => `
      const { openTracer } = await import(${JSON.stringify(join(projectRoot(), 'dist/shared/telemetry/open-tracer.js'))});
      const log = { child: () => log, info() {}, warning() {}, error() {} };
      await openTracer({ endpoint: ${JSON.stringify(endpoint)}, process: 'x', instance: '1', version: '1', log });
      const { createRequire } = await import('node:module');
      const loaded = Object.keys(createRequire(${JSON.stringify(`${projectRoot()}/`)}).cache);
      process.stdout.write(String(loaded.filter((name) => name.includes('@opentelemetry')).length));
      process.exit(0);`;
    const count = (endpoint: string | null) =>
      Number(execFileSync(process.execPath, ['--input-type=module', '-e', program(endpoint)], { encoding: 'utf8' }));
    assert.equal(count(null), 0);
    // The control: with one they are.
    assert.ok(count('http://127.0.0.1:1') > 0);
  });
});
