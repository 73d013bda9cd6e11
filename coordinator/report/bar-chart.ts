// Amounts by name: horizontal bars, or symbols with whiskers where a spread is known, each with its value beside it.
import * as Plot from '@observablehq/plot';
import { shorten } from './figures.ts';
import type { Html } from './html.ts';
import { marginFor, titleBelow } from './line-chart.ts';
import { drawSvg, FONT_SIZE, textWidth } from './svg.ts';

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
  /** Beside it. */
  readonly text: string;
}

export interface BarChart {
  readonly name: string;
  /** With the unit in brackets. */
  readonly valueTitle: string;
  readonly nameTitle: string;
  readonly bars: readonly Bar[];
  readonly show?: (value: number) => string;
}

const ROW = 26;
const MARGIN = { top: 34, bottom: 48 } as const;

/** @param width of the drawing in pixels, at which text has its size. */
export function drawBarChart({ name, valueTitle, nameTitle, bars, show }: BarChart, width: number): Html {
  const names = shownNames(
    bars.map((bar) => bar.name),
    width,
  );
  const rows = bars.map((bar, i) => ({ ...bar, key: i, end: bar.high ?? bar.value }));
  const marginLeft = marginFor(names);
  const marginRight = Math.ceil(Math.max(...bars.map(({ text }) => textWidth(text)))) + 14;
  const spread = rows.filter(({ low, high }) => low !== undefined && high !== undefined);
  return drawSvg(name, {
    ...{ width, height: MARGIN.top + MARGIN.bottom + ROW * bars.length, marginLeft, marginRight },
    ...{ marginTop: MARGIN.top, marginBottom: MARGIN.bottom },
    x: {
      ...{ ...titleBelow(valueTitle, width, marginLeft, marginRight), grid: true },
      ...{ domain: [0, Math.max(...rows.map(({ end }) => end)) || 1], ticks: width < 500 ? 3 : 6 },
      ...(show && { tickFormat: show }),
    },
    y: {
      ...{ label: nameTitle, labelAnchor: 'top', labelArrow: 'none', labelOffset: marginLeft, type: 'band' },
      ...{ domain: rows.map(({ key }) => key), tickFormat: (key: number) => names[key], padding: 0.3, tickSize: 0 },
    },
    marks: [
      Plot.barX(rows, { x: 'value', y: 'key', fill: 'var(--series-1)', fillOpacity: 0.8 }),
      ...(spread.length > 0
        ? [Plot.ruleY(spread, { y: 'key', x1: 'low', x2: 'high', stroke: 'currentColor', strokeWidth: 1.5 })]
        : []),
      Plot.text(rows, { x: 'end', y: 'key', text: 'text', dx: 6, textAnchor: 'start', fontSize: FONT_SIZE }),
    ],
  });
}

/** Names that leave most of the width to the drawing. */
export function shownNames(names: readonly string[], width: number): string[] {
  const most = Math.floor((width * (width < 500 ? 0.45 : 0.36)) / (FONT_SIZE * 0.7));
  return names.map((name) => shorten(name, most));
}
