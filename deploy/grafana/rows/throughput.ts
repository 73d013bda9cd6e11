import {
  BytesPerSecondIEC,
  OpsPerSecond,
  PercentUnit,
  RequestsPerSecond,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { CLUSTER, OWN, quantile, rateBy } from '../selectors.ts';

export const THROUGHPUT: Row = {
  title: 'Throughput',
  panels: [
    {
      title: 'Jobs that ended, an hour',
      description: 'Jobs that ended in the hour before, by how.',
      unit: Short,
      related: ['EspalierJobsFailed'],
      queries: [
        {
          expr: `sum by (state) (increase(espalier_jobs_total{state=~"done|failed|cancelled", ${OWN}}[1h]))`,
          legend: '{{state}}',
        },
      ],
    },
    {
      title: 'Share of jobs that failed',
      description: 'Of the jobs that ended in the hour before as done or failed, the share that failed.',
      unit: PercentUnit,
      max: 1,
      alerts: ['EspalierFailureRatioHigh'],
      related: ['EspalierJobsFailed'],
      queries: [{ expr: `max(namespace:espalier_jobs_failed:ratio_increase1h{${CLUSTER}})`, legend: 'failed' }],
    },
    {
      title: 'Job duration',
      description: 'Seconds from the first claim of a job to its end as done, of the jobs of an hour.',
      unit: Seconds,
      queries: [
        { expr: quantile(0.5, 'espalier_job_duration_seconds', null, '1h'), legend: 'half within' },
        { expr: quantile(0.95, 'espalier_job_duration_seconds', null, '1h'), legend: '95 % within' },
      ],
    },
    {
      title: 'Tasks that ended',
      description: 'Tasks whose result came back, by kind.',
      unit: OpsPerSecond,
      stacked: true,
      related: ['EspalierQueueStuck'],
      queries: [{ expr: rateBy('kind', 'espalier_task_round_trip_seconds_count'), legend: '{{kind}}' }],
    },
    {
      title: 'Bytes of coordinators and workers',
      description: 'Blobs and results: coordinators in and out, workers received and sent.',
      unit: BytesPerSecondIEC,
      queries: [{ expr: rateBy('direction', 'espalier_bytes_total'), legend: '{{direction}}' }],
    },
    {
      title: 'Calls of the job API',
      description: 'Calls of users and programs that ended, by gRPC status.',
      unit: RequestsPerSecond,
      queries: [{ expr: rateBy('status', 'espalier_api_calls_total'), legend: '{{status}}' }],
    },
  ],
};
