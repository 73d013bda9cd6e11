import { Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { CLUSTER } from '../selectors.ts';

export const NOW: Row = {
  title: 'Now',
  panels: [
    {
      title: 'Alerts that fire',
      description: 'Alerts of deploy/prometheus/rules.yaml that fire now; docs/runbooks.md says what to do.',
      unit: Short,
      number: true,
      queries: [
        {
          expr: `count(ALERTS{alertname=~"Espalier.*", alertstate="firing", ${CLUSTER}}) or vector(0)`,
          legend: 'alerts',
        },
      ],
    },
    {
      title: 'Coordinators',
      description: 'Coordinators that are scraped.',
      unit: Short,
      number: true,
      related: ['EspalierNoCoordinators'],
      queries: [{ expr: `count(espalier_leases_lost_total{${CLUSTER}})`, legend: 'coordinators' }],
    },
    {
      title: 'Usable workers',
      description: 'Workers that coordinators can use. None is right while there are no jobs.',
      unit: Short,
      number: true,
      related: ['EspalierNoWorkers'],
      queries: [{ expr: `max(espalier_workers{${CLUSTER}})`, legend: 'workers' }],
    },
    {
      title: 'Jobs queued',
      description: 'Jobs that no coordinator has claimed, of the whole cluster.',
      unit: Short,
      number: true,
      related: ['EspalierQueueStuck'],
      queries: [{ expr: `max(espalier_jobs_in_state{state="queued", ${CLUSTER}})`, legend: 'queued' }],
    },
    {
      title: 'Jobs running',
      description: 'Jobs that a coordinator has claimed, of the whole cluster.',
      unit: Short,
      number: true,
      queries: [{ expr: `max(espalier_jobs_in_state{state="running", ${CLUSTER}})`, legend: 'running' }],
    },
    {
      title: 'Longest wait now',
      description: 'Age of the queued job that has waited longest; 0 when none is queued.',
      unit: Seconds,
      number: true,
      alerts: ['EspalierQueueWaitLong'],
      queries: [{ expr: `max(espalier_queue_oldest_age_seconds{${CLUSTER}})`, legend: 'oldest' }],
    },
  ],
};
