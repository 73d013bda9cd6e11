// Colours of a panel from the thresholds of the alerts on what it shows.
import type { Threshold } from '@grafana/grafana-foundation-sdk/dashboard';
import type { AlertThreshold } from '../prometheus/rule-file.ts';

const COLOURS = { warning: 'orange', critical: 'red' } as const;

/** Steps as Grafana wants them, from minus infinity up. All thresholds must point the same way.
 * @returns one green step when there are none. */
export function thresholdSteps(thresholds: readonly AlertThreshold[]): Threshold[] {
  const sorted = [...thresholds].sort((a, b) => a.value - b.value);
  const [first] = sorted;
  if (first === undefined) return [{ value: null, color: 'green' }];
  if (first.comparison === '>' || first.comparison === '>=') {
    const steps = sorted.map(({ value, severity }) => ({ value, color: COLOURS[severity] }));
    return [{ value: null, color: 'green' }, ...steps];
  }
  // Wrong below: each colour reaches up to its threshold, where the next one begins. What equals 0 is wrong up to 1.
  const ends = sorted.map(({ comparison, value }) => (comparison === '==' ? value + 1 : value));
  const colours = [...sorted.map(({ severity }) => COLOURS[severity]), 'green'];
  return colours.map((color, i) => ({ value: i === 0 ? null : ends[i - 1]!, color }));
}
