// A chart as a page shows it: heading, what is to be seen, legend, one drawing for wide and one for narrow screens, and the same
// numbers as a table.
import * as Plot from '@observablehq/plot';
import { type Html, html } from './html.ts';
import { seriesStyle } from './series-style.ts';
import { drawSvg } from './svg.ts';

/** Width of a drawing on paper and wide screens, on narrow ones, and of one of two side by side. */
export const WIDE = 780;
export const NARROW = 330;
export const HALF = 380;

export type Cell = string | Link;

export interface Link {
  readonly text: string;
  readonly href: string;
}

export interface Table {
  readonly caption: string;
  /** First row; a first cell of each row is its heading. */
  readonly head: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

export type Legend = readonly { readonly name: string; readonly style: number }[];

export interface Figure {
  readonly title: string;
  /** What is to be seen, and what the marks mean. */
  readonly text: Html;
  readonly legend?: Legend;
  readonly panels: readonly Panel[];
  readonly table: Table;
}

export interface Panel {
  /** Null: the figure's title is enough. */
  readonly title: string | null;
  /** Half: two stand side by side where there is room. */
  readonly size: 'full' | 'half';
  /** Of its own, where the panels have other series. */
  readonly legend?: Legend;
  draw(width: number): Html;
}

export function renderFigure({ title, text, legend = [], panels, table }: Figure): Html {
  return html`<figure>
<figcaption><h3>${title}</h3><p>${text}</p></figcaption>
${renderLegend(legend)}<div class="panels">
${panels.map(renderPanel)}</div>
<details><summary>${title}: table</summary>
${renderTable(table)}
</details>
</figure>
`;
}

/** One series needs none. */
function renderLegend(legend: Legend): Html | null {
  return legend.length > 1 ? html`<ul class="legend">${legend.map(legendItem)}</ul>\n` : null;
}

function renderPanel({ title, size, legend = [], draw }: Panel): Html {
  const drawings =
    size === 'half'
      ? html`<div class="chart">${draw(HALF)}</div>`
      : html`<div class="chart wide">${draw(WIDE)}</div><div class="chart narrow">${draw(NARROW)}</div>`;
  return html`<div class="panel ${size}">${title === null ? null : html`<h4>${title}</h4>`}${renderLegend(legend)}${drawings}</div>
`;
}

/** A table that scrolls by itself where it is wider than the page. */
export function renderTable({ caption, head, rows }: Table): Html {
  const [first, ...others] = head;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table>
<caption>${caption}</caption>
<thead><tr><th scope="col">${first}</th>${others.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>
${rows.map(([name, ...cells]) => html`<tr>${rowHead(name)}${cells.map((cell) => bodyCell(cell))}</tr>\n`)}</tbody>
</table></div>`;
}

function legendItem({ name, style }: { readonly name: string; readonly style: number }): Html {
  const { colour, symbol, dash } = seriesStyle(style);
  const swatch = drawSvg(null, {
    ...{ width: 36, height: 14, margin: 0, axis: null },
    ...{ x: { domain: [0, 2] }, y: { domain: [0, 2] } },
    marks: [
      Plot.line(
        [
          { x: 0, y: 1 },
          { x: 2, y: 1 },
        ],
        { x: 'x', y: 'y', stroke: colour, strokeWidth: 2, ...(dash !== null && { strokeDasharray: dash }) },
      ),
      Plot.dot([{ x: 1, y: 1 }], { x: 'x', y: 'y', symbol, r: 4.5, fill: colour }),
    ],
  });
  return html`<li>${swatch}<span>${name}</span></li>`;
}

/** Short ones stay on their line. */
function rowHead(cell: Cell): Html {
  const text = typeof cell === 'string' ? cell : cell.text;
  return text.length > 24
    ? html`<th scope="row" class="long">${cellOf(cell)}</th>`
    : html`<th scope="row">${cellOf(cell)}</th>`;
}

/** Digests and the like may be broken: a table is no wider for them. */
function bodyCell(cell: Cell): Html {
  const isLong = typeof cell === 'string' && cell.length > 48;
  return isLong ? html`<td class="long">${cell}</td>` : html`<td>${cellOf(cell)}</td>`;
}

function cellOf(cell: Cell): Html {
  return typeof cell === 'string' ? html`${cell}` : html`<a href="${cell.href}">${cell.text}</a>`;
}
