// The figures as a person reads them.
import { digits } from '../gpu/table.ts';
import { type PartFigures, ratioOf, STAGES, type WorkersFigures } from './figures.ts';

/** @param of runs that the medians are of. */
export function partText(figures: PartFigures, of: number): string {
  const { part, jobs, model, samples, byWorkers } = figures;
  const { layers, hiddenSize, heads, neurons, head } = model;
  const isQueue = part === 'queue';
  const rows = [
    [
      'workers',
      ...(isQueue ? ['jobs/min'] : []),
      ...['times as fast', 'seconds', 'least', 'most', 'busy', 'coordinator CPU s'],
      ...STAGES.map((stage) => `${stage} s`),
    ],
    ...byWorkers.map((own) => row(own)),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  return [
    `${part}: ${isQueue ? `${jobs} jobs through a cluster` : 'one job with local workers'}, ${head} ${layers}x${hiddenSize}x${heads}x${neurons}, ${samples} samples, median of ${of}`,
    ...rows.map((cells) => `  ${cells.map((cell, i) => cell.padStart(widths[i])).join('  ')}`),
  ].join('\n');

  function row(own: WorkersFigures): string[] {
    const { workers, seconds, busy, coordinatorCpuSeconds, stages } = own;
    return [
      `${workers}`,
      ...(isQueue ? [digits((60 * jobs) / seconds.median)] : []),
      ratioOf(figures, own).toFixed(2),
      ...[seconds.median, seconds.least, seconds.most].map(digits),
      `${(100 * busy).toFixed(1)} %`,
      digits(coordinatorCpuSeconds),
      ...STAGES.map((stage) => digits(stages[stage])),
    ];
  }
}
