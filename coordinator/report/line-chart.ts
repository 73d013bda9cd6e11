// Values over a quantity: lines with symbols, whiskers where a spread is known, a dense model's value as a reference.
import * as Plot from '@observablehq/plot';
import type { Html } from './html.ts';
import { type Box, boxAround, placeLabels } from './place-labels.ts';
import { seriesStyle } from './series-style.ts';
import { drawSvg, FONT_SIZE, scalesOf, textWidth } from './svg.ts';

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Ends of the whiskers. */
  readonly lowY?: number;
  readonly highY?: number;
  readonly lowX?: number;
  readonly highX?: number;
  /** Shown beside it where there is room. */
  readonly label?: string;
}

export interface ChartSeries {
  readonly name: string;
  /** Of seriesStyle. */
  readonly style: number;
  readonly points: readonly ChartPoint[];
}

export interface ChartAxis {
  /** With the unit in brackets. */
  readonly title: string;
  readonly ticks?: readonly number[];
  readonly domain?: readonly [number, number];
  readonly show?: (value: number) => string;
}

export interface LineChart {
  /** For screen readers. */
  readonly name: string;
  readonly x: ChartAxis;
  readonly y: ChartAxis;
  readonly series: readonly ChartSeries[];
  /** Symbols alone: what lies between two points means nothing. */
  readonly scattered?: boolean;
  /** A horizontal line. */
  readonly reference?: { readonly value: number; readonly text: string };
  readonly height?: number;
  /** Of y; values are positive, without whiskers and reference. */
  readonly isLogarithmic?: boolean;
}

const SYMBOL_BOX = 14;
const LINE_HEIGHT = FONT_SIZE * 1.3;
const MARGIN = { top: 34, right: 22, bottom: 48 } as const;

/** @param width of the drawing in pixels, at which text has its size. */
export function drawLineChart(given: LineChart, width: number): Html {
  const chart = given.isLogarithmic ? logarithmic(given) : given;
  const options = optionsOf(chart, width);
  const labels = labelMarks(chart, options, width);
  return drawSvg(chart.name, { ...options, marks: [...(options.marks ?? []), ...labels] });
}

function optionsOf(chart: LineChart, width: number): Plot.PlotOptions {
  const { x, y, series, reference } = chart;
  const domain = y.domain ?? padded(extent(valuesY(chart)), 0.08);
  const ticks = y.ticks ?? niceTicks(domain, 5);
  const show = y.show ?? ((value: number) => showTick(value, ticks));
  const marginLeft = marginFor(ticks.map(show));
  return {
    ...{ width, height: chart.height ?? 300, marginLeft },
    ...{ marginRight: MARGIN.right, marginTop: MARGIN.top, marginBottom: MARGIN.bottom },
    x: {
      ...titleBelow(x.title, width, marginLeft, MARGIN.right),
      domain: x.domain ?? padded(extent(valuesX(series)), 0.05),
      ticks: x.ticks ?? (width < 500 ? 4 : 7),
      ...(x.show && { tickFormat: x.show }),
    },
    y: {
      ...{ label: y.title, labelAnchor: 'top', labelArrow: 'none', labelOffset: marginLeft },
      ...{ domain, ticks, tickFormat: show, grid: true },
    },
    marks: [
      ...(reference ? [Plot.ruleY([reference.value], { stroke: 'var(--reference)', strokeDasharray: '4 4' })] : []),
      ...series.flatMap((found) => seriesMarks(found, chart.scattered ?? false)),
    ],
  };
}

/** The same chart over logarithms, with ticks that show what they are of: labels and obstacles then lie as everywhere. */
function logarithmic(chart: LineChart): LineChart {
  const [low, high] = extent(valuesY(chart));
  const domain: readonly [number, number] = [low / 1.4, high * 1.4];
  const show = (exponent: number) => {
    const value = Number((10 ** exponent).toPrecision(3));
    return value < 1e-3 ? value.toExponential(0) : String(value);
  };
  return {
    ...chart,
    y: {
      title: chart.y.title,
      domain: [Math.log10(domain[0]), Math.log10(domain[1])],
      ticks: powerTicks(domain).map(Math.log10),
      show,
    },
    series: chart.series.map((series) => ({
      ...series,
      points: series.points.map((point) => ({ ...point, y: Math.log10(point.y) })),
    })),
  };
}

/** An axis's title under the middle of it, or at its right end where it would leave the drawing there. */
export function titleBelow(title: string, width: number, left: number, right: number) {
  const end = (left + width - right) / 2 + textWidth(title) / 2;
  const labelAnchor: 'center' | 'right' = end > width ? 'right' : 'center';
  return { label: title, labelAnchor, labelArrow: 'none', labelOffset: 42 } as const;
}

/** Room for these texts beside an axis. */
export function marginFor(texts: readonly string[]): number {
  return Math.ceil(Math.max(...texts.map((text) => textWidth(text)))) + 14;
}

function seriesMarks({ points, style }: ChartSeries, isScattered: boolean): Plot.Markish[] {
  const { colour, symbol, dash } = seriesStyle(style);
  const spreadY = points.filter(({ lowY, highY }) => lowY !== undefined && highY !== undefined);
  const spreadX = points.filter(({ lowX, highX }) => lowX !== undefined && highX !== undefined);
  const whisker = { stroke: colour, strokeWidth: 1.5, strokeOpacity: 0.75 };
  const line = { x: 'x', y: 'y', stroke: colour, strokeWidth: 2, ...(dash !== null && { strokeDasharray: dash }) };
  return [
    ...(points.length > 1 && !isScattered ? [Plot.line(points, line)] : []),
    ...(spreadY.length > 0 ? [Plot.ruleX(spreadY, { x: 'x', y1: 'lowY', y2: 'highY', ...whisker })] : []),
    ...(spreadX.length > 0 ? [Plot.ruleY(spreadX, { y: 'y', x1: 'lowX', x2: 'highX', ...whisker })] : []),
    Plot.dot(points, { x: 'x', y: 'y', symbol, r: 4.5, fill: colour, stroke: 'var(--page)', strokeWidth: 1 }),
  ];
}

// What stands at the reference line, and at points that have a label.
function labelMarks(chart: LineChart, options: Plot.PlotOptions, width: number): Plot.Markish[] {
  const { x, y } = scalesOf(options);
  const points = chart.series.flatMap((series) => series.points);
  const frame: Box = {
    ...{ left: options.marginLeft ?? 0, right: width - 2 },
    ...{ top: MARGIN.top - 8, bottom: (chart.height ?? 300) - MARGIN.bottom },
  };
  const obstacles = points.flatMap((point) => {
    const [px, py] = [x(point.x), y(point.y)];
    const { lowX = point.x, highX = point.x, lowY = point.y, highY = point.y } = point;
    return [
      boxAround(px, py, SYMBOL_BOX, SYMBOL_BOX),
      { left: x(lowX) - 1, right: x(highX) + 1, top: py - 1, bottom: py + 1 },
      { left: px - 1, right: px + 1, top: y(highY) - 1, bottom: y(lowY) + 1 },
    ];
  });
  const wanted = points.flatMap(({ x: atX, y: atY, label }) =>
    label === undefined ? [] : [{ x: x(atX), y: y(atY), text: label, width: textWidth(label) }],
  );
  if (!chart.scattered)
    for (const { points: line } of chart.series)
      for (const [i, to] of line.entries())
        if (i > 0) obstacles.push(...stepsBetween([x(line[i - 1].x), y(line[i - 1].y)], [x(to.x), y(to.y)]));
  const at = chart.reference && y(chart.reference.value);
  if (at !== undefined) obstacles.push({ left: 0, right: width, top: at - 1, bottom: at + 1 });
  const ofReference = chart.reference === undefined ? [] : [referenceLabel(chart.reference.text, at ?? 0, frame)];
  // A pixel is its own coordinate for a mark without scales.
  return placeLabels([...ofReference, ...wanted], obstacles, frame, LINE_HEIGHT).map(({ text, x: left, y: top }) =>
    Plot.text([text], {
      ...{ text: (shown: string) => shown, frameAnchor: 'top-left', textAnchor: 'middle', lineAnchor: 'middle' },
      ...{ dx: left - (options.marginLeft ?? 0), dy: top - MARGIN.top, fontSize: FONT_SIZE },
    }),
  );
}

/** A point at the left end of the line, so that its label stands over or under it. */
function referenceLabel(text: string, at: number, frame: Box) {
  const width = textWidth(text);
  return { x: frame.left + 4 + width / 2, y: at, text, width };
}

function valuesX(series: readonly ChartSeries[]): number[] {
  return series.flatMap(({ points }) => points.flatMap(({ x, lowX = x, highX = x }) => [x, lowX, highX]));
}

function valuesY({ series, reference }: LineChart): number[] {
  const values = series.flatMap(({ points }) => points.flatMap(({ y, lowY = y, highY = y }) => [y, lowY, highY]));
  return reference === undefined ? values : [...values, reference.value];
}

function extent(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

/** A little more on both sides; something of a width for one value. */
function padded([low, high]: readonly [number, number], share: number): readonly [number, number] {
  // What differs by rounding alone is one value.
  const size = Math.max(Math.abs(low), Math.abs(high));
  const pad = high - low > size * 1e-6 ? (high - low) * share : Math.max(size * 0.02, 1e-6);
  return [low - pad, high + pad];
}

/** Round numbers in a domain, about so many of them. */
export function niceTicks([low, high]: readonly [number, number], count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([10, 5, 2].find((factor) => factor * power <= rough * 1.3) ?? 1);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Powers of ten in a domain, with twice and five times each where these are few. */
function powerTicks([low, high]: readonly [number, number]): number[] {
  const first = Math.floor(Math.log10(low));
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, i) => first + i);
  const isFew = high / low < 1000;
  return powers
    .flatMap((power) => (isFew ? [1, 2, 5] : [1]).map((factor) => Number(`${factor}e${power}`)))
    .filter((tick) => tick >= low && tick <= high);
}

/** As many places as tell neighbouring ticks apart. */
function showTick(value: number, ticks: readonly number[]): string {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : Math.abs(value) || 1;
  return value.toFixed(Math.min(8, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))));
}

/** A line as boxes small enough to follow it. */
function stepsBetween([x1, y1]: readonly [number, number], [x2, y2]: readonly [number, number]): Box[] {
  const steps = Math.max(1, Math.ceil(Math.hypot(x2 - x1, y2 - y1) / 6));
  return Array.from({ length: steps + 1 }, (_, i) => {
    const share = i / steps;
    return boxAround(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share, 6, 6);
  });
}
