// Settings of a solve as they travel to a worker: JSON text whose every field has a default.
import { EspalierError } from '../shared/errors.ts';

/** What a field must be, in words, and whether a value is. */
export interface FieldCheck {
  readonly expected: string;
  readonly fits: (value: unknown) => boolean;
}

export const RISING_LIST: FieldCheck = {
  expected: 'one or more positive numbers that rise',
  fits: (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((item, at) => Number.isFinite(item) && item > (at === 0 ? 0 : value[at - 1])),
};

/** Reads settings from JSON text; a field left out has its default.
 * @param what whose settings they are, for messages.
 * @throws EspalierError "protocol" that names every unknown field and every value out of range. */
export function parseSettings<Settings extends object>(
  what: string,
  json: string,
  defaults: Settings,
  checks: Readonly<Record<keyof Settings, FieldCheck>>,
): Settings {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new EspalierError('protocol', `${what} settings: got no JSON (${(cause as Error).message})`, { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new EspalierError('protocol', `${what} settings: got ${json.slice(0, 40)}, expected an object`);
  const problems: string[] = [];
  const fields = { ...defaults, ...parsed } as Record<string, unknown>;
  for (const [name, { expected, fits }] of Object.entries<FieldCheck>(checks))
    if (!fits(fields[name])) problems.push(`${name}: got ${JSON.stringify(fields[name])}, expected ${expected}`);
  for (const name of Object.keys(parsed)) if (!Object.hasOwn(defaults, name)) problems.push(`${name}: unknown setting`);
  if (problems.length > 0) throw new EspalierError('protocol', `${what} settings: ${problems.join('; ')}`);
  return fields as Settings;
}
