import { PercentUnit, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { OWN, quantile } from '../selectors.ts';

const DROP = 'espalier_accuracy_drop_ratio';
const RANGE = '6h';

export const QUALITY: Row = {
  title: 'Quality and speed-up of finished jobs',
  panels: [
    {
      title: 'Loss of quality',
      description:
        'Quality of the dense model less that of the pruned one, over six hours; below 0 where pruning helped.',
      unit: PercentUnit,
      min: null,
      queries: [
        { expr: quantile(0.5, DROP, null, RANGE), legend: 'half within' },
        { expr: quantile(0.9, DROP, null, RANGE), legend: '90 % within' },
      ],
    },
    {
      title: 'Models that lost more than 5 points',
      description:
        'Share of the pruned models of six hours whose quality fell by more than 0.05: budgets that are too small, or data that do not fit.',
      unit: PercentUnit,
      max: 1,
      queries: [
        {
          expr: `1 - sum(increase(${DROP}_bucket{le="0.05", ${OWN}}[${RANGE}])) / sum(increase(${DROP}_count{${OWN}}[${RANGE}]))`,
          legend: 'more than 0.05',
        },
      ],
    },
    {
      title: 'Pruned models',
      description: 'Pruned models of six hours whose quality was measured.',
      unit: Short,
      queries: [{ expr: `sum(increase(${DROP}_count{${OWN}}[${RANGE}]))`, legend: 'models' }],
    },
    {
      title: 'Speed-up: half above',
      description:
        'Median of how many times faster pruned models are than dense ones, as measured at the end of jobs, by what they were timed in; over six hours.',
      unit: Short,
      queries: [{ expr: quantile(0.5, 'espalier_speedup_ratio', 'runtime', RANGE), legend: '{{runtime}}' }],
    },
    {
      title: 'Speed-up: 90 % above',
      description: 'What nine of ten pruned models are faster by at least, over six hours.',
      unit: Short,
      queries: [{ expr: quantile(0.1, 'espalier_speedup_ratio', 'runtime', RANGE), legend: '{{runtime}}' }],
    },
    {
      title: 'MACs kept',
      description:
        "Median share of the dense encoder's multiply-accumulates that pruned models keep, over six hours. A speed-up below its inverse is what a runtime makes of it.",
      unit: PercentUnit,
      max: 1,
      queries: [{ expr: quantile(0.5, 'espalier_macs_kept_ratio', null, RANGE), legend: 'half within' }],
    },
  ],
};
