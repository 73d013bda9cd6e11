import { Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { CLUSTER, OWN } from '../selectors.ts';

export const QUEUE: Row = {
  title: 'Queue',
  panels: [
    {
      title: 'Jobs by state',
      description:
        'Jobs of the store that have not ended, whoever runs them. Each coordinator tells the same: the largest counts.',
      unit: Short,
      stacked: true,
      related: ['EspalierQueueStuck', 'EspalierScalingAtMaximum'],
      queries: [
        { expr: `max by (state) (espalier_jobs_in_state{state=~"queued|running", ${CLUSTER}})`, legend: '{{state}}' },
      ],
    },
    {
      title: 'Longest wait',
      description: 'Age of the queued job that has waited longest.',
      unit: Seconds,
      alerts: ['EspalierQueueWaitLong'],
      queries: [{ expr: `max(espalier_queue_oldest_age_seconds{${CLUSTER}})`, legend: 'oldest' }],
    },
    {
      title: 'Jobs a coordinator runs',
      description: 'Jobs that each coordinator has claimed: they should be spread.',
      unit: Short,
      stacked: true,
      queries: [{ expr: `espalier_jobs_owned{${OWN}}`, legend: '{{instance}}' }],
    },
  ],
};
