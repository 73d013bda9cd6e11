// The list of problems of an error, as it travels in trailing metadata: JSON, compressed, since metadata has to be small and
// problems are much alike.
import { gunzipSync, gzipSync } from 'node:zlib';
import { ERROR_CODES, type Problem, type ProblemList } from '../errors.ts';

/** Beside the message and the action, within the 8 KiB from which on some peers may refuse metadata. */
const MAX_BYTES = 2048;
const MAX_TEXT = 500;
const MAX_JSON_BYTES = 1 << 20;
/** What fits is looked for in steps of this part. */
const STEP = 0.9;

/** As many problems as there is room for, the first ones. */
export function encodeProblems({ problems, count }: ProblemList): Buffer {
  for (let some = problems; ; some = some.slice(0, Math.floor(some.length * STEP))) {
    const told = some.map(({ code, path, text }) => ({ code, path, text: text.slice(0, MAX_TEXT) }));
    const bytes = gzipSync(JSON.stringify({ count, problems: told }));
    if (bytes.length <= MAX_BYTES || some.length === 0) return bytes;
  }
}

/** @returns null for what is no such list: the message of the error tells of it, too. */
export function decodeProblems(bytes: Uint8Array): ProblemList | null {
  try {
    const { count, problems } = JSON.parse(gunzipSync(bytes, { maxOutputLength: MAX_JSON_BYTES }).toString());
    if (!Number.isSafeInteger(count) || !Array.isArray(problems) || problems.length === 0) return null;
    return count >= problems.length && problems.every(isProblem) ? { count, problems } : null;
  } catch {
    return null;
  }
}

function isProblem(value: Partial<Problem> | null): value is Problem {
  const { code, path, text } = value ?? {};
  const isPath = Array.isArray(path) && path.every((part) => typeof part === 'string' || Number.isSafeInteger(part));
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code) && isPath && typeof text === 'string';
}
