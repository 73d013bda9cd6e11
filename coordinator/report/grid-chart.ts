// Amounts by two names: a grid of cells, darker for more, each with its number where it fits.
import * as Plot from '@observablehq/plot';
import { shownNames } from './bar-chart.ts';
import type { Html } from './html.ts';
import { marginFor, titleBelow } from './line-chart.ts';
import { drawSvg, textWidth } from './svg.ts';

export interface GridChart {
  readonly name: string;
  readonly columnTitle: string;
  readonly rowTitle: string;
  readonly rows: readonly { readonly name: string; readonly values: readonly number[] }[];
  /** What a full cell holds. */
  readonly full: number;
}

const ROW = 28;
const MARGIN = { top: 34, bottom: 48, right: 8 } as const;
const FAINTEST = 0.04;
const STRONGEST = 0.5;

/** @param width of the drawing in pixels, at which text has its size. */
export function drawGridChart({ name, columnTitle, rowTitle, rows, full }: GridChart, width: number): Html {
  const names = shownNames(
    rows.map((row) => row.name),
    width,
  );
  const marginLeft = marginFor(names);
  const columns = rows[0].values.length;
  const cells = rows.flatMap(({ values }, row) =>
    values.map((value, column) => ({
      row,
      column,
      value,
      strength: FAINTEST + (STRONGEST - FAINTEST) * (value / full),
    })),
  );
  const cellWidth = (width - marginLeft - MARGIN.right) / columns;
  const fontSize = [12, 11, 10, 9].find((size) => textWidth(String(full), size) < cellWidth - 2);
  const every = Math.ceil((textWidth(String(columns)) + 4) / cellWidth);
  const indices = Array.from({ length: columns }, (_, column) => column);
  return drawSvg(name, {
    ...{ width, height: MARGIN.top + MARGIN.bottom + ROW * rows.length, marginLeft, marginRight: MARGIN.right },
    ...{ marginTop: MARGIN.top, marginBottom: MARGIN.bottom },
    x: {
      ...{ ...titleBelow(columnTitle, width, marginLeft, MARGIN.right), type: 'band' },
      ...{ domain: indices, ticks: indices.filter((column) => column % every === 0), tickSize: 0, padding: 0.04 },
    },
    y: {
      ...{ label: rowTitle, labelAnchor: 'top', labelArrow: 'none', labelOffset: marginLeft, type: 'band' },
      ...{ domain: rows.map((_, row) => row), tickFormat: (row: number) => names[row], tickSize: 0, padding: 0.08 },
    },
    marks: [
      Plot.cell(cells, {
        ...{ x: 'column', y: 'row', fill: 'var(--series-1)', stroke: 'var(--border)', strokeWidth: 0.5 },
        fillOpacity: { value: 'strength', scale: null },
      }),
      ...(fontSize === undefined
        ? []
        : [
            Plot.text(cells, {
              x: 'column',
              y: 'row',
              text: (cell: { value: number }) => String(cell.value),
              fontSize,
            }),
          ]),
    ],
  });
}
