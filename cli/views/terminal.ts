// What the views of progress have in common: where they draw, how often, and the bar and the time that they draw.
import { formatSeconds } from '../quantities.ts';

/** The part of a writable stream that is used, so that tests can stand in for a terminal. */
export interface TextSink {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ViewOptions {
  readonly sink: TextSink;
  /** TERM; a dumb terminal can draw nothing over and gets lines. */
  readonly terminal?: string | undefined;
  /** Milliseconds of any clock that only goes forward. */
  readonly now: () => number;
}

/** At the most, on a terminal. */
export const REDRAW_MS = 100;
/** Elsewhere what takes long says so often how far it is. */
export const PLAIN_LINE_MS = 10_000;

export const HIDE_CURSOR = '\x1b[?25l';
export const SHOW_CURSOR = '\x1b[?25h';
export const CLEAR_LINE = '\r\x1b[2K';

const BAR_WIDTH = 24;

export function canDrawOver({ sink, terminal }: ViewOptions): boolean {
  return sink.isTTY === true && terminal !== 'dumb';
}

/** "[######------------------]  25 %", of a share in [0, 1], in its two parts. */
export function barOf(share: number): { readonly bar: string; readonly percent: string } {
  const filled = Math.round(share * BAR_WIDTH);
  return {
    bar: `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`,
    percent: `${String(Math.floor(share * 100)).padStart(3)} %`,
  };
}

/** ", 12 s left" if the rest goes on as what was done in this time; "" where that cannot be told. */
export function timeLeft(elapsedMs: number, done: number, whole: number): string {
  if (!(done > 0 && done < whole && elapsedMs > 0)) return '';
  return `, ${formatSeconds((elapsedMs / 1000 / done) * (whole - done))} left`;
}
