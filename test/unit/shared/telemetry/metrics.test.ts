// Every metric has a line in docs/metrics.md, and every line a metric; and what is told of shows.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { kindOf } from '../../../../coordinator/workers/task-spec.ts';
import { projectRoot } from '../../../../shared/project-root.ts';
import { CoordinatorMetrics, type CoordinatorSources } from '../../../../shared/telemetry/coordinator-metrics.ts';
import { memoryLimitBytes } from '../../../../shared/telemetry/memory-limit.ts';
import type { ProcessMetrics } from '../../../../shared/telemetry/process-metrics.ts';
import { WorkerMetrics } from '../../../../shared/telemetry/worker-metrics.ts';

const BUILD = { version: '1.2.3', protocolVersion: 1 };
const NO_JOBS = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
const SOURCES: Required<CoordinatorSources> = {
  jobs: () => ({ ...NO_JOBS, queued: 3 }),
  oldestQueuedSeconds: () => 12.5,
  ownJobs: () => 2,
  tasksPending: () => 40,
  clusterTasksPending: () => 65,
  workers: () => 4,
  handOvers: () => 3,
  store: () => ({ bytes: 10, limitBytes: 100 }),
  busConnected: () => true,
};
const WORKER_SOURCES = {
  tasks: () => 1,
  cache: () => ({ bytes: 5, limitBytes: 50 }),
  gpuMemoryPeakBytes: (): number | null => 7e9,
  busConnected: () => false,
};

/** Lines of the text format without comments: name with labels → value. */
async function values(metrics: ProcessMetrics): Promise<Map<string, number>> {
  const lines = (await metrics.registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

/** The row of docs/metrics.md of each metric of a process that is ours. */
function rowsOf(metrics: ProcessMetrics): string[] {
  const all = metrics.registry.getMetricsAsArray().filter(({ name }) => name.startsWith('espalier_'));
  return all
    .map((metric) => {
      const { labelNames = [] } = metric as { labelNames?: readonly string[] };
      const labels = labelNames.map((label) => `\`${label}\``).join(', ');
      return `| \`${metric.name}\` | ${String(metric.type)} | ${labels} | ${metric.help} |`;
    })
    .sort();
}

describe('docs/metrics.md', () => {
  const text = readFileSync(join(projectRoot(), 'docs/metrics.md'), 'utf8');
  const section = (title: string) =>
    (text.split(`\n## ${title}\n`)[1] ?? '')
      .split('\n## ')[0]
      .split('\n')
      .filter((line) => line.startsWith('| `espalier_'));

  it('has every metric of a coordinator, and no other', () => {
    assert.deepEqual(section('Coordinator').sort(), rowsOf(new CoordinatorMetrics(BUILD, SOURCES)));
  });

  it('has every metric of a worker, and no other', () => {
    assert.deepEqual(section('Worker').sort(), rowsOf(new WorkerMetrics(BUILD, WORKER_SOURCES)));
  });
});

describe('names', () => {
  it('are ours, in base units, counters end in _total, and no label can hold an id', () => {
    const known = ['state', 'stage', 'kind', 'reason', 'direction', 'result', 'outcome', 'method', 'status'];
    known.push('runtime', 'certificate', 'version', 'protocol_version', 'node_version');
    for (const metrics of [new CoordinatorMetrics(BUILD, SOURCES), new WorkerMetrics(BUILD, WORKER_SOURCES)])
      for (const metric of metrics.registry.getMetricsAsArray()) {
        const { name, help, type } = metric;
        if (!name.startsWith('espalier_')) continue;
        assert.match(name, /^espalier_[a-z]+(_[a-z]+)*$/);
        assert.equal(name.endsWith('_total'), String(type) === 'counter', name);
        assert.doesNotMatch(name, /_(ms|millis|minutes|mb|gb|percent)\b/);
        assert.match(help, /^[A-Z0-9].*\.$/s, name);
        if (/_(seconds|bytes)$/.test(name)) assert.match(help, /second|Age|byte/i, name);
        for (const label of (metric as { labelNames?: readonly string[] }).labelNames ?? [])
          assert.ok(known.includes(label), `${name} has the label ${label}`);
      }
  });
});

describe('what has not happened yet', () => {
  it('shows as 0, so that the first time is a change', async () => {
    const coordinator = await values(new CoordinatorMetrics(BUILD));
    const worker = await values(new WorkerMetrics(BUILD));
    assert.equal(coordinator.get('espalier_stage_duration_seconds_count{stage="fisher"}'), 0);
    assert.equal(coordinator.get('espalier_task_round_trip_seconds_count{kind="solve"}'), 0);
    assert.equal(coordinator.get('espalier_speedup_ratio_count{runtime="engine"}'), 0);
    assert.equal(worker.get('espalier_task_duration_seconds_count{kind="solve"}'), 0);
  });
});

describe('the limit of memory', () => {
  it('is that of the control group, where one is set', () => {
    assert.equal(memoryLimitBytes(2e9, 8e9), 2e9);
    for (const none of [undefined, 0, 8e9, 2 ** 64]) assert.equal(memoryLimitBytes(none, 8e9), null);
  });
});

describe('a coordinator', () => {
  it('shows what it was told of and what is so now', async () => {
    const metrics = new CoordinatorMetrics(BUILD, SOURCES);
    metrics.jobEntered('running');
    metrics.jobEntered('done');
    metrics.jobDone(50);
    metrics.stageFinished('fisher', 2);
    metrics.taskDone('normal_equations', 0.2);
    // As the scheduler calls it, by the field of its request.
    metrics.taskDone(kindOf({ request: { refitEquations: {} } }), 0.3);
    metrics.taskRetried('fisher', 'worker_unavailable');
    metrics.bytes('in', 1000);
    metrics.modelPruned({ accuracyDrop: 0.004, macsKept: 0.5, speedups: new Map([['engine', 1.6]]) });
    metrics.modelPruned({ accuracyDrop: null, macsKept: null, speedups: new Map() });
    metrics.leaseLost();
    metrics.jobTakenOver();
    metrics.busReconnected();
    metrics.apiCallEnded('Submit', 'OK');
    metrics.watchCertificate('grpc', () => new Date(1_700_000_000_000));
    const shown = await values(metrics);
    const expected: readonly [name: string, value: number][] = [
      ['espalier_jobs_total{state="running"}', 1],
      ['espalier_jobs_total{state="failed"}', 0],
      ['espalier_job_duration_seconds_sum', 50],
      ['espalier_stage_duration_seconds_sum{stage="fisher"}', 2],
      ['espalier_task_round_trip_seconds_count{kind="normal_equations"}', 1],
      ['espalier_task_round_trip_seconds_count{kind="refit_equations"}', 1],
      ['espalier_task_retries_total{reason="worker_unavailable"}', 1],
      ['espalier_bytes_total{direction="in"}', 1000],
      ['espalier_accuracy_drop_ratio_bucket{le="0.005"}', 1],
      ['espalier_accuracy_drop_ratio_bucket{le="0.0025"}', 0],
      ['espalier_accuracy_drop_ratio_count', 1],
      ['espalier_macs_kept_ratio_bucket{le="0.5"}', 1],
      ['espalier_macs_kept_ratio_bucket{le="0.4"}', 0],
      ['espalier_speedup_ratio_bucket{le="1.75",runtime="engine"}', 1],
      ['espalier_speedup_ratio_bucket{le="1.5",runtime="engine"}', 0],
      ['espalier_leases_lost_total', 1],
      ['espalier_jobs_taken_over_total', 1],
      ['espalier_bus_reconnects_total', 1],
      ['espalier_api_calls_total{method="Submit",status="OK"}', 1],
      ['espalier_certificate_expiry_timestamp_seconds{certificate="grpc"}', 1_700_000_000],
      ['espalier_tasks_pending', 40],
      ['espalier_cluster_tasks_pending', 65],
      ['espalier_queue_oldest_age_seconds', 12.5],
      ['espalier_workers', 4],
      ['espalier_jobs_owned', 2],
      ['espalier_jobs_in_state{state="queued"}', 3],
      ['espalier_store_bytes', 10],
      ['espalier_store_limit_bytes', 100],
      ['espalier_bus_connected', 1],
      ['espalier_tuning_hand_overs_total', 3],
    ];
    for (const [name, value] of expected) assert.equal(shown.get(name), value, name);
    assert.equal((await values(metrics)).get('espalier_tuning_hand_overs_total'), 3, 'a second scrape adds nothing');
  });

  it('keeps to the labels that it knows, whatever it is told', async () => {
    const metrics = new CoordinatorMetrics(BUILD);
    metrics.taskDone('fisher/3 of job 0123', 1);
    metrics.taskRetried('fisher', 'worker 10.0.0.1:7077 is gone');
    const shown = await values(metrics);
    assert.equal(shown.get('espalier_task_round_trip_seconds_count{kind="other"}'), 1);
    assert.equal(shown.get('espalier_task_retries_total{reason="other"}'), 1);
    for (const name of shown.keys()) assert.doesNotMatch(name, /0123|10\.0\.0\.1/);
  });

  it('shows nothing of what is not known', async () => {
    const shown = await values(new CoordinatorMetrics(BUILD, { ...SOURCES, store: () => null }));
    assert.equal(shown.has('espalier_store_bytes'), false);
    assert.equal((await values(new CoordinatorMetrics(BUILD))).has('espalier_workers'), false);
  });
});

describe('a worker', () => {
  it('shows what it was told of and what is so now', async () => {
    const metrics = new WorkerMetrics(BUILD, WORKER_SOURCES);
    const ended = metrics.taskStarted('normal_equations');
    metrics.taskStarted('a kind of tomorrow')();
    metrics.taskEnded('done');
    metrics.taskEnded('refused');
    metrics.addBytes('received', 7);
    metrics.cacheRequested('hit', 3);
    metrics.cacheRequested('miss');
    const shown = await values(metrics);
    const expected: readonly [name: string, value: number][] = [
      ['espalier_task_duration_seconds_count{kind="other"}', 1],
      ['espalier_worker_tasks_total{outcome="done"}', 1],
      ['espalier_worker_tasks_total{outcome="refused"}', 1],
      ['espalier_worker_tasks_total{outcome="failed"}', 0],
      ['espalier_bytes_total{direction="received"}', 7],
      ['espalier_bytes_total{direction="sent"}', 0],
      ['espalier_cache_requests_total{result="hit"}', 3],
      ['espalier_cache_requests_total{result="miss"}', 1],
      ['espalier_worker_tasks', 1],
      ['espalier_cache_bytes', 5],
      ['espalier_cache_limit_bytes', 50],
      ['espalier_gpu_memory_peak_bytes', 7e9],
      ['espalier_bus_connected', 0],
    ];
    for (const [name, value] of expected) assert.equal(shown.get(name), value, name);
    assert.ok(shown.get('espalier_worker_busy_ratio')! > 0);
    ended();
    const later = await values(metrics);
    assert.equal(later.get('espalier_task_duration_seconds_count{kind="normal_equations"}'), 1);
  });

  it('without a GPU shows no memory of one', async () => {
    const shown = await values(new WorkerMetrics(BUILD, { ...WORKER_SOURCES, gpuMemoryPeakBytes: () => null }));
    assert.equal(shown.has('espalier_gpu_memory_peak_bytes'), false);
  });
});
