// What the processes take as settings, from their own parsers.

import { parseCoordinatorConfig } from '../../../dist/coordinator/config.js';
import { parseWorkerConfig } from '../../../dist/worker/config.js';

/** (argv, env) → command, as the named process reads it. */
export function parserOf(name) {
  return { coordinator: parseCoordinatorConfig, worker: parseWorkerConfig }[name];
}

/** Names of the variables that a process reads, by its own help. The parser passes over others. */
export function variablesOf(name) {
  const { text } = parserOf(name)(['--help'], { HOME: '/home' });
  return text.match(/ESPALIER_[A-Z_]+/g);
}
