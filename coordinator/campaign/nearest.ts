// The word that was probably meant.

const LONGEST = 40;

/** The known word that `got` comes closest to, or null when none is close: one changed letter in three at most. */
export function nearest(got: string, known: readonly string[]): string | null {
  if (got.length > LONGEST) return null;
  const plain = got.toLowerCase().replaceAll('_', '-');
  let best: { readonly word: string; readonly distance: number } | null = null;
  for (const word of known) {
    const distance = editDistance(plain, word);
    if (distance <= Math.max(plain.length, word.length) / 3 && distance < (best?.distance ?? Infinity))
      best = { word, distance };
  }
  return best?.word ?? null;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? rows[i - 2][j - 2] + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, replaced, swapped));
    }
    rows.push(row);
  }
  return rows[a.length][b.length];
}
