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

/** Insertions, deletions and replacements that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1)
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
