// How the series of a chart are told apart: by symbol, dash and colour together, so that any one of them may be missing.

export interface SeriesStyle {
  /** Of the page's style sheet, which has another set for dark screens. */
  readonly colour: string;
  readonly symbol: 'circle' | 'square' | 'triangle' | 'diamond' | 'star' | 'cross' | 'wye';
  /** SVG stroke-dasharray; null: solid. */
  readonly dash: string | null;
}

export const COLOURS = 6;
const SYMBOLS = ['circle', 'square', 'triangle', 'diamond', 'star', 'cross', 'wye'] as const;
const DASHES = [null, '7 4', '2 3', '9 3 2 3', '12 5'] as const;

/** Six colours, seven symbols, five dashes: 210 series before one comes again. */
export function seriesStyle(index: number): SeriesStyle {
  return {
    colour: `var(--series-${(index % COLOURS) + 1})`,
    symbol: SYMBOLS[index % SYMBOLS.length],
    dash: DASHES[index % DASHES.length],
  };
}
