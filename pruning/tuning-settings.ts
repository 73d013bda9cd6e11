// Settings of the tuning solves: plain JSON, because they travel to the worker in SolveTask.settings_json.
import { parseSettings, RISING_LIST } from './parse-settings.ts';

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
  return parseSettings('tuning', json, DEFAULT_TUNING_SETTINGS, {
    damping: {
      expected: '"reference" or "ridge"',
      fits: (value) => value === 'reference' || value === 'ridge',
    },
    ridgeLambdas: RISING_LIST,
    choice: { expected: '"first" or "best"', fits: (value) => value === 'first' || value === 'best' },
    refitOnAll: { expected: 'true or false', fits: (value) => typeof value === 'boolean' },
  });
}
