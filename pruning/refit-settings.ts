// Settings of a refit: plain JSON, because they travel to the worker in RefitTask.settings_json.
import { parseSettings, RISING_LIST } from './parse-settings.ts';

export interface RefitSettings {
  /** Ridge damping as multiples of the mean diagonal of XᵀDX, rising, each > 0. */
  readonly lambdas: readonly number[];
}

export const DEFAULT_REFIT_SETTINGS: RefitSettings = { lambdas: [1e-3, 1e-2, 1e-1, 1] };

/** Reads settings from JSON text; a field left out has its default.
 * @throws EspalierError "protocol" that names every unknown field and every value out of range. */
export function parseRefitSettings(json: string): RefitSettings {
  return parseSettings('refit', json, DEFAULT_REFIT_SETTINGS, { lambdas: RISING_LIST });
}
