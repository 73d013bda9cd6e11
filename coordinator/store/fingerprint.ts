// What makes two runs the same run: a plain object of settings and digests, compared by its canonical JSON.

/** JSON with the keys of every object sorted, so that equal values give equal text.
 * @throws RangeError on a number that is not finite, which JSON would turn into null. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (key, item: unknown) => {
    if (typeof item === 'number' && !Number.isFinite(item)) throw new RangeError(`${key}: ${item} is not finite`);
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item;
    const record = item as Record<string, unknown>;
    return Object.fromEntries(
      Object.keys(record)
        .sort()
        .map((name) => [name, record[name]]),
    );
  });
}

/** Every field in which `now` differs from `then`, as "path: got X, expected Y", in the order of their names. */
export function fingerprintDifferences(then: object, now: object): string[] {
  return differencesAt('', then, now);
}

function differencesAt(path: string, then: unknown, now: unknown): string[] {
  if (isRecord(then) && isRecord(now)) {
    const names = [...new Set([...Object.keys(then), ...Object.keys(now)])].sort();
    return names.flatMap((name) => differencesAt(path === '' ? name : `${path}.${name}`, then[name], now[name]));
  }
  const [textThen, textNow] = [shown(then), shown(now)];
  return textThen === textNow ? [] : [`${path}: got ${shorten(textNow)}, expected ${shorten(textThen)}`];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : canonicalJson(value);
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
