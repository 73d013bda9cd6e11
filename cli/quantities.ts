// Numbers as people read them in a terminal: three significant places or so, and a unit.

/** "0.4 ms", "85 ms", "3.2 s", "4 min 05 s", "2 h 07 min". */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const pad = (value: number) => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** A duration to compare with another: "12.31 ms" or "1.204 s". */
export function formatLatency(seconds: number): string {
  return seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.1 ? 2 : 1)} ms` : `${seconds.toFixed(3)} s`;
}

/** 0.4996 → "50.0 %". */
export function formatPercent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`;
}

/** "1 job", "2 jobs". */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
