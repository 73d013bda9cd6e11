// Several values a name: a row of symbols each, to compare many jobs at a glance.
import * as Plot from '@observablehq/plot';
import { shownNames } from './bar-chart.ts';
import type { Html } from './html.ts';
import { marginFor, titleBelow } from './line-chart.ts';
import { seriesStyle } from './series-style.ts';
import { drawSvg } from './svg.ts';

export interface DotChart {
  readonly name: string;
  /** With the unit in brackets. */
  readonly valueTitle: string;
  readonly nameTitle: string;
  readonly names: readonly string[];
  readonly series: readonly {
    readonly style: number;
    /** `row` of names. */
    readonly points: readonly { readonly row: number; readonly value: number }[];
  }[];
  /** A vertical line: the dense model. */
  readonly reference: number;
}

const ROW = 24;
const MARGIN = { top: 34, bottom: 48, right: 22 } as const;

/** @param width of the drawing in pixels, at which text has its size. */
export function drawDotChart(chart: DotChart, width: number): Html {
  const names = shownNames(chart.names, width);
  const marginLeft = marginFor(names);
  const values = [chart.reference, ...chart.series.flatMap(({ points }) => points.map(({ value }) => value))];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = (high - low || Math.abs(high) || 1) * 0.05;
  return drawSvg(chart.name, {
    ...{ width, height: MARGIN.top + MARGIN.bottom + ROW * names.length, marginLeft, marginRight: MARGIN.right },
    ...{ marginTop: MARGIN.top, marginBottom: MARGIN.bottom },
    x: {
      ...{ ...titleBelow(chart.valueTitle, width, marginLeft, MARGIN.right), grid: true },
      ...{ domain: [low - pad, high + pad], ticks: width < 500 ? 3 : 6 },
    },
    y: {
      ...{ label: chart.nameTitle, labelAnchor: 'top', labelArrow: 'none', labelOffset: marginLeft, type: 'point' },
      ...{ domain: names.map((_, row) => row), tickFormat: (row: number) => names[row], padding: 0.5, tickSize: 0 },
      grid: true,
    },
    marks: [
      Plot.ruleX([chart.reference], { stroke: 'var(--reference)', strokeDasharray: '4 4' }),
      ...chart.series.map(({ style, points }) => {
        const { colour, symbol } = seriesStyle(style);
        return Plot.dot(points, {
          x: 'value',
          y: 'row',
          symbol,
          r: 5,
          fill: colour,
          stroke: 'var(--page)',
          strokeWidth: 1,
        });
      }),
    ],
  });
}
