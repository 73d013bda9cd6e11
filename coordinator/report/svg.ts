// Charts as SVG text: Observable Plot draws into a document of linkedom's. No script, no style, no id in it, so that a page may
// forbid scripts and inline styles, hold any number of charts, and be the same bytes each time.
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { escapeText, Html, withoutForbidden } from './html.ts';

/** Of text in charts, in the units of their width. */
export const FONT_SIZE = 12;

/** Where the pixels of a drawn chart are. */
export interface DrawnScales {
  x(value: number): number;
  y(value: number): number;
}

/** One <svg>, which scales to the width that it is given. @param name what a screen reader says in its place; null:
 * it passes over it. */
export function drawSvg(name: string | null, options: Plot.PlotOptions): Html {
  const svg = plot(options);
  for (const style of svg.querySelectorAll('style')) style.remove();
  for (const element of svg.querySelectorAll('[style]')) element.removeAttribute('style');
  svg.setAttribute('font-size', String(FONT_SIZE));
  svg.removeAttribute('class');
  // Written here and not by the library, which leaves "<" in attributes as it is.
  const role = name === null ? 'aria-hidden="true"' : `role="img" aria-label="${escapeText(name)}"`;
  return new Html(withoutForbidden(svg.outerHTML).replace(/^<svg/, () => `<svg ${role}`));
}

/** The scales that `drawSvg` will use, to place labels by. */
export function scalesOf(options: Plot.PlotOptions): DrawnScales {
  const drawn = plot(options);
  const scale = (name: 'x' | 'y') => {
    const found = drawn.scale(name);
    return (value: number) => found.apply(value) as number;
  };
  return { x: scale('x'), y: scale('y') };
}

interface DrawnElement {
  readonly outerHTML: string;
  querySelectorAll(selector: string): Iterable<{ remove(): void; removeAttribute(name: string): void }>;
  setAttribute(name: string, value: string): void;
  removeAttribute(name: string): void;
  scale(name: string): { apply(value: unknown): unknown };
}

function plot(options: Plot.PlotOptions): DrawnElement {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  return Plot.plot({ ...options, document } as Plot.PlotOptions) as unknown as DrawnElement;
}

/** Width of text in a sans-serif font, about and rather too much, since the reader's fonts are not known here. */
export function textWidth(text: string, size = FONT_SIZE): number {
  let ems = 0;
  for (const character of text)
    ems += /[\u1100-\uFFDC\u{1F000}-\u{3FFFF}]/u.test(character) ? 1.05 : widthOf(character);
  return ems * size;
}

function widthOf(character: string): number {
  if (".,:;|!il'()[] ".includes(character)) return 0.4;
  return /[A-ZmwMW@%—…_]/.test(character) ? 0.86 : 0.64;
}
