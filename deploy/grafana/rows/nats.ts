import { BytesIEC, PercentUnit, Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { CLUSTER, OWN } from '../selectors.ts';

export const STORE: Row = {
  title: 'Store, NATS and certificates',
  panels: [
    {
      title: 'Object store',
      description: 'Bytes of models, results and stages in NATS, and how many it may hold.',
      unit: BytesIEC,
      related: ['EspalierStoreNearlyFull'],
      queries: [
        { expr: `max(espalier_store_bytes{${CLUSTER}})`, legend: 'used' },
        { expr: `max(espalier_store_limit_bytes{${CLUSTER}})`, legend: 'limit' },
      ],
    },
    {
      title: 'Object store used',
      description:
        'Share of the limit. From 75 % on jobs that ended are removed before their time, from 90 % on new ones are refused.',
      unit: PercentUnit,
      max: 1,
      alerts: ['EspalierStoreNearlyFull', 'EspalierStoreFull'],
      queries: [{ expr: `max(namespace:espalier_store_used:ratio{${CLUSTER}})`, legend: 'used' }],
    },
    {
      title: 'Certificates: time left',
      description:
        'Time until each certificate ends, the shortest of all processes: grpc and nats are their own, nats_server is that of NATS.',
      unit: Seconds,
      min: null,
      alerts: ['EspalierCertificateExpiresSoon', 'EspalierCertificateExpiresInADay'],
      queries: [
        {
          expr: `min by (certificate) (espalier_certificate_expiry_timestamp_seconds{${OWN}}) - time()`,
          legend: '{{certificate}}',
        },
      ],
    },
    {
      title: 'Connected to NATS',
      description: '1 while a process has a connection to NATS.',
      unit: Short,
      max: 1,
      alerts: ['EspalierBusDisconnected'],
      queries: [{ expr: `espalier_bus_connected{${OWN}}`, legend: '{{job}} {{instance}}' }],
    },
    {
      title: 'Connections to NATS that came back',
      description: 'Times in an hour that a coordinator was connected to NATS again.',
      unit: Short,
      related: ['EspalierBusDisconnected'],
      queries: [{ expr: `increase(espalier_bus_reconnects_total{${OWN}}[1h])`, legend: '{{instance}}' }],
    },
    {
      title: 'Jobs that changed coordinators',
      description:
        'Jobs in an hour that a coordinator lost while it ran them, and that one took over after a lease had lapsed.',
      unit: Short,
      related: ['EspalierLeasesLost'],
      queries: [
        { expr: `sum(increase(espalier_leases_lost_total{${OWN}}[1h]))`, legend: 'lost' },
        { expr: `sum(increase(espalier_jobs_taken_over_total{${OWN}}[1h]))`, legend: 'taken over' },
      ],
    },
  ],
};
