import { BytesIEC, OpsPerSecond, PercentUnit, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { CLUSTER, inOurNamespaces, OWN, rateBy } from '../selectors.ts';

const HPA = `horizontalpodautoscaler="keda-hpa-worker", ${CLUSTER}`;
const DEPLOYMENT = `deployment="worker", ${CLUSTER}`;

export const WORKERS: Row = {
  title: 'Workers',
  panels: [
    {
      title: 'Workers that run and that can be used',
      description: 'Workers that are scraped, and those that coordinators can use: they should be as many.',
      unit: Short,
      related: ['EspalierNoWorkers', 'EspalierWorkersMissing'],
      queries: [
        { expr: `count(espalier_worker_busy_ratio{${CLUSTER}})`, legend: 'run' },
        { expr: `max(espalier_workers{${CLUSTER}})`, legend: 'can be used' },
      ],
    },
    {
      title: 'Workers busy',
      description:
        'Share of the last minute in which a worker computed: of all, of the least and of the most busy one.',
      unit: PercentUnit,
      max: 1,
      queries: [
        { expr: `avg(espalier_worker_busy_ratio{${OWN}})`, legend: 'all' },
        { expr: `min(espalier_worker_busy_ratio{${OWN}})`, legend: 'least' },
        { expr: `max(espalier_worker_busy_ratio{${OWN}})`, legend: 'most' },
      ],
    },
    {
      title: 'Scaling',
      description:
        'Replicas of the Deployment worker: wanted, available, and the most that its ScaledObject allows. Needs kube-state-metrics.',
      unit: Short,
      related: ['EspalierScalingAtMaximum', 'EspalierWorkerPodsPending'],
      queries: [
        { expr: `sum(${inOurNamespaces(`kube_deployment_spec_replicas{${DEPLOYMENT}}`)})`, legend: 'wanted' },
        {
          expr: `sum(${inOurNamespaces(`kube_deployment_status_replicas_available{${DEPLOYMENT}}`)})`,
          legend: 'available',
        },
        {
          expr: `max(${inOurNamespaces(`kube_horizontalpodautoscaler_spec_max_replicas{${HPA}}`)})`,
          legend: 'at most',
        },
      ],
    },
    {
      title: 'Tasks a worker has',
      description: 'Tasks that compute, wait or send their result, by worker.',
      unit: Short,
      queries: [{ expr: `espalier_worker_tasks{${OWN}}`, legend: '{{instance}}' }],
    },
    {
      title: 'Blobs that tasks named',
      description:
        'In the cache of the worker (hit), or to be brought (miss). Misses that go on: --blob-limit-gb is too small.',
      unit: OpsPerSecond,
      stacked: true,
      queries: [{ expr: rateBy('result', 'espalier_cache_requests_total'), legend: '{{result}}' }],
    },
    {
      title: 'Blob cache',
      description:
        'Bytes in the blob cache of each worker, and the least that one may hold. Workers of a machine share one.',
      unit: BytesIEC,
      queries: [
        { expr: `espalier_cache_bytes{${OWN}}`, legend: '{{instance}}' },
        { expr: `min(espalier_cache_limit_bytes{${OWN}})`, legend: 'limit' },
      ],
    },
  ],
};
