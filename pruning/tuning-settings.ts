// Settings of the tuning solves: plain JSON, because they travel to the worker in SolveTask.settings_json.
import { EspalierError } from '../shared/errors.ts';

export interface TuningSettings {
  /** First rung: "reference" solves the published system exactly, "ridge" starts with the first of `ridgeLambdas`. */
  readonly damping: 'reference' | 'ridge';
  /** Ridge damping as multiples of the mean diagonal of AᵀA, rising, each > 0; the rungs after "reference". */
  readonly ridgeLambdas: readonly number[];
  /** "first": the first rung that lowers the held-out residual is kept; "best": the rung that lowers it most. */
  readonly choice: 'first' | 'best';
  /** Solve the kept rung once more on fitted and held-out sums together. */
  readonly refitOnAll: boolean;
}

export const DEFAULT_TUNING_SETTINGS: TuningSettings = {
  damping: 'ridge',
  ridgeLambdas: [1e-4, 1e-3, 1e-2, 1e-1, 1],
  choice: 'first',
  refitOnAll: true,
};

/** Reads settings from JSON text; a field left out has its default.
 * @throws EspalierError "protocol" that names every unknown field and every value out of range. */
export function parseTuningSettings(json: string): TuningSettings {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch (cause) {
    throw new EspalierError('protocol', `tuning settings: got no JSON (${(cause as Error).message})`, { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new EspalierError('protocol', `tuning settings: got ${json.slice(0, 40)}, expected an object`);
  const problems: string[] = [];
  const fields: Record<string, unknown> = { ...DEFAULT_TUNING_SETTINGS, ...parsed };
  const check = (name: keyof TuningSettings, expected: string, fits: (value: unknown) => boolean) => {
    if (!fits(fields[name])) problems.push(`${name}: got ${JSON.stringify(fields[name])}, expected ${expected}`);
  };
  check('damping', '"reference" or "ridge"', (value) => value === 'reference' || value === 'ridge');
  check('ridgeLambdas', 'one or more positive numbers that rise', isRisingList);
  check('choice', '"first" or "best"', (value) => value === 'first' || value === 'best');
  check('refitOnAll', 'true or false', (value) => typeof value === 'boolean');
  for (const name of Object.keys(parsed))
    if (!Object.hasOwn(DEFAULT_TUNING_SETTINGS, name)) problems.push(`${name}: unknown setting`);
  if (problems.length > 0) throw new EspalierError('protocol', `tuning settings: ${problems.join('; ')}`);
  return fields as unknown as TuningSettings;
}

function isRisingList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((item, at) => Number.isFinite(item) && item > (at === 0 ? 0 : value[at - 1]))
  );
}
