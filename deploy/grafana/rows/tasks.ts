import { OpsPerSecond, PercentUnit, Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { CLUSTER, OWN, quantile, rateBy } from '../selectors.ts';

export const TASKS: Row = {
  title: 'Tasks and retries',
  panels: [
    {
      title: 'Task round trip: 95 % within',
      description:
        'Seconds from when the worker of a task could begin with it to the last byte of its result, by kind.',
      unit: Seconds,
      queries: [{ expr: quantile(0.95, 'espalier_task_round_trip_seconds', 'kind'), legend: '{{kind}}' }],
    },
    {
      title: 'Task duration: 95 % within',
      description: 'Seconds that a task computed on its worker, by kind. Choose an instance to compare workers.',
      unit: Seconds,
      related: ['EspalierTaskRetriesHigh'],
      queries: [{ expr: quantile(0.95, 'espalier_task_duration_seconds', 'kind'), legend: '{{kind}}' }],
    },
    {
      title: 'Tasks sent again, by reason',
      description: 'Tasks that were sent once more, as a share of those that ended, over 15 minutes.',
      unit: PercentUnit,
      alerts: ['EspalierTaskRetriesHigh'],
      queries: [
        {
          expr: `max by (reason) (namespace_reason:espalier_task_retries:ratio_rate15m{${CLUSTER}}) > 0`,
          legend: '{{reason}}',
        },
      ],
    },
    {
      title: 'Tasks that wait',
      description: 'Tasks that wait for a worker: of all coordinators, which scaling follows, and of each.',
      unit: Short,
      related: ['EspalierScalingAtMaximum'],
      queries: [
        { expr: `max(espalier_cluster_tasks_pending{${CLUSTER}})`, legend: 'all' },
        { expr: `espalier_tasks_pending{${OWN}}`, legend: '{{instance}}' },
      ],
    },
    {
      title: 'Tasks of workers, by outcome',
      description: 'Tasks that workers were asked for and that ended: refused ones found no place.',
      unit: OpsPerSecond,
      related: ['EspalierTaskRetriesHigh'],
      queries: [{ expr: rateBy('outcome', 'espalier_worker_tasks_total'), legend: '{{outcome}}' }],
    },
    {
      title: 'Tuning that moved',
      description:
        'Tasks of tuning that went to another worker together with the states of the one before: when workers join or drain.',
      unit: OpsPerSecond,
      queries: [{ expr: `sum(rate(espalier_tuning_hand_overs_total{${OWN}}[$__rate_interval]))`, legend: 'moved' }],
    },
  ],
};
