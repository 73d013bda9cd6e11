// Every metric that Prometheus can have of a cluster: ours, as the code makes them, those that our rules record, and a few of
// others.
import type { MetricObject } from 'prom-client';
import type { RuleFile } from '../../deploy/prometheus/rule-file.ts';
import { CoordinatorMetrics, type CoordinatorSources, JOB_STATES } from '../../shared/telemetry/coordinator-metrics.ts';
import type { ProcessMetrics } from '../../shared/telemetry/process-metrics.ts';
import { WorkerMetrics, type WorkerSources } from '../../shared/telemetry/worker-metrics.ts';

export interface KnownMetric {
  /** Beside those of a target. */
  readonly labels: readonly string[];
  /** What a label can be, where that is a closed list. */
  readonly values: Readonly<Record<string, readonly string[]>>;
}

/** Labels that Prometheus gives to all metrics of a process. */
export const TARGET_LABELS = ['namespace', 'job', 'instance'];

/** Of NVIDIA's DCGM exporter, kube-state-metrics and Prometheus itself. */
const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  ALERTS: ['alertname', 'alertstate', 'severity'],
  ...Object.fromEntries(
    ['GPU_UTIL', 'FB_USED', 'POWER_USAGE', 'GPU_TEMP'].map((name) => [
      `DCGM_FI_DEV_${name}`,
      ['gpu', 'Hostname', 'pod', 'exported_namespace'],
    ]),
  ),
  kube_deployment_spec_replicas: ['deployment'],
  kube_deployment_status_replicas_available: ['deployment'],
  kube_horizontalpodautoscaler_spec_max_replicas: ['horizontalpodautoscaler'],
  kube_horizontalpodautoscaler_status_current_replicas: ['horizontalpodautoscaler'],
};

const BUILD = { version: '1', protocolVersion: 1 };
// All sources: one that is left out has no metric.
const COORDINATOR_SOURCES: Required<CoordinatorSources> = {
  jobs: () => null,
  oldestQueuedSeconds: () => null,
  ownJobs: () => null,
  tasksPending: () => null,
  clusterTasksPending: () => null,
  workers: () => null,
  handOvers: () => 0,
  store: () => null,
  busConnected: () => true,
};
const WORKER_SOURCES: Required<WorkerSources> = {
  tasks: () => null,
  cache: () => null,
  gpuMemoryPeakBytes: () => null,
  busConnected: () => true,
};
const PROCESSES = [new CoordinatorMetrics(BUILD, COORDINATOR_SOURCES), new WorkerMetrics(BUILD, WORKER_SOURCES)];

export function knownMetrics({ groups }: RuleFile): ReadonlyMap<string, KnownMetric> {
  const known = new Map<string, KnownMetric>();
  for (const metrics of PROCESSES) for (const [name, metric] of seriesOf(metrics)) known.set(name, metric);
  for (const [name, labels] of Object.entries(FOREIGN)) known.set(name, { labels, values: {} });
  // What is recorded says in its name by which labels: level:metric:operation.
  for (const { rules } of groups)
    for (const rule of rules)
      if ('record' in rule) known.set(rule.record, { labels: rule.record.split(':')[0]!.split('_'), values: {} });
  return known;
}

function* seriesOf({ registry }: ProcessMetrics): Generator<[string, KnownMetric]> {
  for (const metric of registry.getMetricsAsArray() as (MetricObject & {
    labelNames?: readonly string[];
    upperBounds?: readonly number[];
  })[]) {
    const { name, labelNames = [], upperBounds } = metric;
    const values = name === 'espalier_jobs_in_state' || name === 'espalier_jobs_total' ? { state: JOB_STATES } : {};
    const plain = { labels: labelNames, values };
    if (upperBounds === undefined) {
      yield [name, plain];
      continue;
    }
    yield [`${name}_sum`, plain];
    yield [`${name}_count`, plain];
    const le = [...upperBounds.map(String), '+Inf'];
    yield [`${name}_bucket`, { labels: [...labelNames, 'le'], values: { ...values, le } }];
  }
}
