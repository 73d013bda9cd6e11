import { BytesIEC, PercentUnit, Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { OWN, ofOurs } from '../selectors.ts';

const EACH = '{{job}} {{instance}}';

export const PROCESSES: Row = {
  title: 'Processes',
  panels: [
    {
      title: 'Event loop lag',
      description: 'How late a hundredth of the turns of the event loop comes. The alert is on coordinators alone.',
      unit: Seconds,
      alerts: ['EspalierEventLoopLag'],
      related: ['EspalierLeasesLost'],
      queries: [{ expr: ofOurs(`nodejs_eventloop_lag_p99_seconds{${OWN}}`), legend: EACH }],
    },
    {
      title: 'Memory',
      description: 'Resident memory of each process.',
      unit: BytesIEC,
      related: ['EspalierMemoryNearLimit'],
      queries: [{ expr: ofOurs(`process_resident_memory_bytes{${OWN}}`), legend: EACH }],
    },
    {
      title: 'Share of the memory limit',
      description:
        'Resident memory by what the container may use, where it has a limit. The alert is on coordinators alone.',
      unit: PercentUnit,
      max: 1,
      alerts: ['EspalierMemoryNearLimit'],
      queries: [
        {
          expr: `process_resident_memory_bytes{${OWN}} / on (namespace, job, instance) espalier_memory_limit_bytes{${OWN}}`,
          legend: EACH,
        },
      ],
    },
    {
      title: 'CPU',
      description: 'Cores that each process uses.',
      unit: Short,
      related: ['EspalierEventLoopLag', 'EspalierLeasesLost'],
      queries: [{ expr: ofOurs(`rate(process_cpu_seconds_total{${OWN}}[$__rate_interval])`), legend: EACH }],
    },
    {
      title: 'Garbage collection',
      description: 'Share of the time in which each process collected garbage.',
      unit: PercentUnit,
      queries: [
        {
          expr: ofOurs(
            `sum by (namespace, job, instance) (rate(nodejs_gc_duration_seconds_sum{${OWN}}[$__rate_interval]))`,
          ),
          legend: EACH,
        },
      ],
    },
    {
      title: 'Open files',
      description: 'File descriptors in use, as a share of what the process may open.',
      unit: PercentUnit,
      max: 1,
      queries: [{ expr: ofOurs(`process_open_fds{${OWN}} / process_max_fds{${OWN}}`), legend: EACH }],
    },
    {
      title: 'Starts',
      description: 'Processes that started in the hour before.',
      unit: Short,
      queries: [
        { expr: `sum by (job) (${ofOurs(`changes(process_start_time_seconds{${OWN}}[1h])`)})`, legend: '{{job}}' },
      ],
    },
    {
      title: 'Versions',
      description: 'Processes by version: more than one only while an upgrade is under way.',
      unit: Short,
      stacked: true,
      queries: [
        {
          expr: `count by (version, protocol_version) (espalier_build_info{${OWN}})`,
          legend: '{{version}}, protocol {{protocol_version}}',
        },
      ],
    },
  ],
};
