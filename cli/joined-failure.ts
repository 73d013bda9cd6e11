// Failures of several jobs as the one error that a command ends with.
import { EspalierError } from '../shared/errors.ts';

const MOST_TOLD = 3;

/** @param failures at least one. @returns an error of the code that all share, else "job_state". */
export function joinedFailure(failures: readonly EspalierError[]): EspalierError {
  const [first] = failures;
  const code = failures.every((failure) => failure.code === first.code) ? first.code : 'job_state';
  const told = failures.slice(0, MOST_TOLD).map(({ message }) => message);
  if (failures.length > MOST_TOLD) told.push(`and ${failures.length - MOST_TOLD} more`);
  const actions = new Set(failures.map(({ action }) => action));
  return new EspalierError(code, told.join('; '), { action: [...actions].slice(0, MOST_TOLD).join('; ') });
}
