// Numbers as the pages and cards of a report show them, not to be broken before their unit. Fixed forms: the same report gives
// the same bytes in any locale.
import { formatBytes, formatCount } from '../../shared/quantities.ts';

const NO_BREAK_SPACE = '\u00a0';

/** 11174215680 → "11.17 G"; whole numbers below 1000 stay as they are. */
export function showCount(count: number): string {
  return formatCount(count).replace(' ', NO_BREAK_SPACE).replace('K', 'k');
}

export function showBytes(bytes: number): string {
  return formatBytes(bytes).replace(' ', NO_BREAK_SPACE);
}

/** 0.4996 → "50.0 %". */
export function showShare(share: number): string {
  return `${(share * 100).toFixed(1)}\u00a0%`;
}

export function showScore(score: number | null): string {
  return score === null ? 'not measured' : score.toFixed(4);
}

/** With a true minus and always a sign: "−0.0120", "+0.0010", "0.0000". */
export function showChange(change: number): string {
  const digits = Math.abs(change).toFixed(4);
  if (Number(digits) === 0) return digits;
  return `${change < 0 ? '−' : '+'}${digits}`;
}

export function showMilliseconds(seconds: number): string {
  const ms = seconds * 1000;
  return `${ms < 100 ? ms.toFixed(2) : ms.toFixed(0)}\u00a0ms`;
}

export function showSeconds(seconds: number): string {
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(0)}\u00a0ms`;
  if (seconds < 99.95) return `${seconds.toFixed(1)}\u00a0s`;
  const minutes = Math.floor(Math.round(seconds) / 60);
  return `${minutes}\u00a0min\u00a0${String(Math.round(seconds) % 60).padStart(2, '0')}\u00a0s`;
}

export function showRatio(ratio: number): string {
  return `${ratio.toFixed(2)}\u00a0×`;
}

/** Three significant places, exponents where they are shorter. */
export function showNumber(value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

/** Cut in the middle to at most `most` characters, so that both ends still tell names apart. */
export function shorten(text: string, most: number): string {
  const characters = [...text];
  if (characters.length <= most) return text;
  const head = Math.ceil((most - 1) / 2);
  return `${characters.slice(0, head).join('')}…${characters.slice(characters.length - (most - 1 - head)).join('')}`;
}
