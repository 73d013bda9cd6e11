// What makes two runs the same run: a plain object of settings and digests, compared by its canonical JSON.
import { isJsonObject } from '../../shared/json-object.ts';

/** JSON with the keys of every object sorted, so that equal values give equal text.
 * @throws RangeError on a number that is not finite, which JSON would turn into null. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted('', value));
}

// A copy and no replacer of JSON.stringify: that takes four times as long, and a coordinator does it for every stage.
function sorted(key: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${key}: ${value} is not finite`);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item, at) => sorted(`${at}`, item));
  if ('toJSON' in value && typeof value.toJSON === 'function') return sorted(key, value.toJSON(key));
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value).sort()) {
    const item = sorted(name, (value as Record<string, unknown>)[name]);
    // A plain assignment would take this name for the prototype.
    if (name === '__proto__') Object.defineProperty(copy, name, { value: item, enumerable: true });
    else copy[name] = item;
  }
  return copy;
}

/** Every field in which `now` differs from `then`, as "path: got X, expected Y", in the order of their names. */
export function fingerprintDifferences(then: object, now: object): string[] {
  return differencesAt('', then, now);
}

function differencesAt(path: string, then: unknown, now: unknown): string[] {
  if (isJsonObject(then) && isJsonObject(now)) {
    const names = [...new Set([...Object.keys(then), ...Object.keys(now)])].sort();
    return names.flatMap((name) => differencesAt(path === '' ? name : `${path}.${name}`, then[name], now[name]));
  }
  const [textThen, textNow] = [shown(then), shown(now)];
  return textThen === textNow ? [] : [`${path}: got ${shorten(textNow)}, expected ${shorten(textThen)}`];
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : canonicalJson(value);
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
