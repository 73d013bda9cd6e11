// The curves as drawings: seconds of the processors, and the coordinator's memory, over each axis.
import { drawLineChart } from '../../../coordinator/report/line-chart.ts';
import type { Curve } from './figures.ts';

const WIDTH = 640;

export interface Drawing {
  /** File name. */
  readonly name: string;
  readonly svg: string;
}

export function drawCurves(curves: readonly Curve[]): Drawing[] {
  return curves.flatMap(({ axis, points }) => {
    const ticks = points.map(({ x }) => x);
    const series = [
      { name: 'coordinator', style: 0, points: points.map(({ x, cpuSeconds }) => ({ x, y: cpuSeconds.coordinator })) },
      ...(points.every(({ cpuSeconds }) => cpuSeconds.workers !== null)
        ? [{ name: 'workers', style: 1, points: points.map(({ x, cpuSeconds }) => ({ x, y: cpuSeconds.workers! })) }]
        : []),
    ];
    const memory = points.map(({ x, coordinatorPeakBytes }) => ({ x, y: coordinatorPeakBytes / 1e6 }));
    const draw = (what: string, title: string, drawn: typeof series): Drawing => {
      const most = Math.max(...drawn.flatMap(({ points: found }) => found.map(({ y }) => y)));
      const chart = { name: `${title} over ${axis}`, x: { title: axis, ticks }, series: drawn };
      const y = { title, domain: [0, most * 1.05] as const };
      return { name: `${axis}-${what}.svg`, svg: alone(drawLineChart({ ...chart, y }, WIDTH).text) };
    };
    return [
      draw('seconds', 'CPU time [s]', series),
      draw('memory', "coordinator's memory [MB]", [{ name: 'coordinator', style: 0, points: memory }]),
    ];
  });
}

/** A drawing as a file of its own: its colours are those of a page's style sheet. */
function alone(svg: string): string {
  const colours = ':root{background:#fff;color:#1f2328;--page:#fff;--series-1:#0b5cad;--series-2:#b3470b}';
  return `${svg.replace(/^<svg [^>]*>/, (opening) => `${opening}<style>${colours}</style>`)}\n`;
}
