// Fields of requests, let through only when they are what they should be.
import { EspalierError } from '../../shared/errors.ts';
import type { JobState } from '../jobs/job-record.ts';
import { LARGEST_PAGE, LONGEST_ID, LONGEST_PAGE_TOKEN, MOST_CLIENT_KEY_CHARACTERS, USUAL_PAGE } from './limits.ts';

const STATES: readonly JobState[] = ['queued', 'running', 'done', 'failed', 'cancelled'];

/** An id or prefix of one; whether a job has it is the store's to say. @throws EspalierError "usage". */
export function checkId(id: string): string {
  if (id.length <= LONGEST_ID && /^[0-9a-f]{4,}$/.test(id)) return id;
  throw refused('id', id, 'at least 4 hexadecimal digits');
}

/** @throws EspalierError "usage". */
export function checkStates(states: readonly string[]): JobState[] {
  return [...new Set(states)].map((state) => {
    const known = STATES.find((candidate) => candidate === state);
    if (known === undefined) throw refused('state', state, STATES.join(', '));
    return known;
  });
}

/** @throws EspalierError "usage". */
export function checkClientKey(key: string): string {
  if (key !== '' && key.length <= MOST_CLIENT_KEY_CHARACTERS && !/\p{Cc}/u.test(key)) return key;
  throw refused('client_key', key, `1 to ${MOST_CLIENT_KEY_CHARACTERS} characters, none of them a control character`);
}

/** @throws EspalierError "usage". */
export function checkPage(pageSize: number, pageToken: string): { pageSize: number; pageToken: string } {
  if (pageSize > LARGEST_PAGE) throw refused('page_size', String(pageSize), `at most ${LARGEST_PAGE}`);
  if (pageToken.length > LONGEST_PAGE_TOKEN) throw refused('page_token', pageToken, 'one from an earlier answer');
  return { pageSize: pageSize === 0 ? USUAL_PAGE : pageSize, pageToken };
}

/** @throws EspalierError "usage" for a number that is no sequence number. */
export function checkSequence(sequence: number): number {
  if (Number.isSafeInteger(sequence) && sequence >= 0) return sequence;
  throw refused('after_sequence', String(sequence), 'a sequence number of an earlier event');
}

function refused(field: string, got: string, expected: string): EspalierError {
  const shown = JSON.stringify(got.slice(0, 80));
  return new EspalierError('usage', `${field}: got ${shown}, expected ${expected}`, { action: 'see docs/api.md' });
}
