import { Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import type { Row } from '../row.ts';
import { quantile, rateBy } from '../selectors.ts';

const STAGE_SECONDS = 'espalier_stage_duration_seconds';

export const STAGES: Row = {
  title: 'Stage times',
  panels: [
    {
      title: 'Stages: half within',
      description:
        'Median seconds of each stage of a job, over an hour. Stages that were taken from the store do not count.',
      unit: Seconds,
      queries: [{ expr: quantile(0.5, STAGE_SECONDS, 'stage', '1h'), legend: '{{stage}}' }],
    },
    {
      title: 'Stages: 95 % within',
      description: 'Seconds that 95 % of the runs of each stage took at most, over an hour.',
      unit: Seconds,
      queries: [{ expr: quantile(0.95, STAGE_SECONDS, 'stage', '1h'), legend: '{{stage}}' }],
    },
    {
      title: 'Jobs by stage',
      description: 'Seconds of each stage that ended, a second: how many jobs were in it on average.',
      unit: Short,
      stacked: true,
      queries: [{ expr: rateBy('stage', `${STAGE_SECONDS}_sum`, '1h'), legend: '{{stage}}' }],
    },
  ],
};
