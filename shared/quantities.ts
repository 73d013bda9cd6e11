// Counts and sizes as people read them, in fixed forms that no locale changes.

/** 11174215680 → "11.17 G"; whole numbers below 1000 stay as they are. */
export function formatCount(count: number): string {
  const units = ['', ' K', ' M', ' G', ' T', ' P'];
  let unit = 0;
  let scaled = count;
  while (Math.abs(scaled) >= 999.995 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return (unit === 0 ? String(Math.round(scaled * 100) / 100) : scaled.toFixed(2)) + units[unit];
}

/** Bytes in decimal units: 437991240 → "438.0 MB". */
export function formatBytes(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
