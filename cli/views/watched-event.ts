// Events of jobs as a peer sends them: JSON text of which only what has the known form is shown. A later version may send
// kinds that this one does not know.
import type { JobEvent } from '../../coordinator/job-events.ts';
import type { LifeEvent } from '../../coordinator/jobs/held-job.ts';
import { parsed } from '../job-json.ts';
import { formatSeconds } from '../quantities.ts';
import { plainText } from './plain-text.ts';

export type WatchedEvent = JobEvent | LifeEvent;

/** Fields that are shown, by kind, with the type that each must have. */
const FIELDS: Readonly<Record<WatchedEvent['kind'], Readonly<Record<string, 'string' | 'number' | 'boolean'>>>> = {
  'stage-started': { stage: 'string', steps: 'number' },
  'stage-progress': { stage: 'string', done: 'number', steps: 'number' },
  'stage-finished': { stage: 'string', seconds: 'number', reused: 'boolean' },
  'worker-joined': { worker: 'string', device: 'string' },
  'worker-lost': { worker: 'string', reason: 'string' },
  notice: { text: 'string' },
  state: { state: 'string' },
  log: { text: 'string' },
};

const OPTIONAL_TEXTS = ['budget', 'note', 'owner'];

/** The event, or null for what this version cannot show. */
export function readEvent(eventJson: string): WatchedEvent | null {
  const value = parsed(eventJson) as Record<string, unknown> | null;
  if (typeof value !== 'object' || value === null || typeof value.kind !== 'string') return null;
  if (!Object.hasOwn(FIELDS, value.kind)) return null;
  const fields = Object.entries(FIELDS[value.kind as WatchedEvent['kind']]);
  const isWhole = fields.every(([name, type]) => typeof value[name] === type);
  const isPlain = OPTIONAL_TEXTS.every((name) => value[name] === undefined || typeof value[name] === 'string');
  return isWhole && isPlain && isError(value.error) ? (value as unknown as WatchedEvent) : null;
}

function isError(value: unknown): boolean {
  if (value === undefined) return true;
  const { code, message } = (value ?? {}) as Record<string, unknown>;
  return typeof code === 'string' && typeof message === 'string';
}

/** What a stage is called: "tune 0.5". */
export function stageLabel({ stage, budget }: { readonly stage: string; readonly budget?: string }): string {
  return plainText(budget === undefined ? stage : `${stage} ${budget}`);
}

/** One line about what happened, or null for progress. */
export function eventText(event: WatchedEvent): string | null {
  switch (event.kind) {
    case 'stage-started':
      return `${stageLabel(event)} started`;
    case 'stage-progress':
      return null;
    case 'stage-finished': {
      const note = event.note === undefined ? '' : `, ${plainText(event.note)}`;
      return `${stageLabel(event)} ${event.reused ? 'reused' : `finished in ${formatSeconds(event.seconds)}`}${note}`;
    }
    case 'worker-joined':
      return plainText(`worker ${event.worker} joined: ${event.device}`);
    case 'worker-lost':
      return plainText(`worker ${event.worker} lost: ${event.reason}`);
    case 'notice':
      return plainText(`note: ${event.text}`);
    case 'log':
      return plainText(event.text);
    case 'state': {
      const owner = event.owner === undefined ? '' : ` on ${event.owner}`;
      const error = event.error === undefined ? '' : `: [${event.error.code}] ${event.error.message}`;
      return plainText(`${event.state}${owner}${error}`);
    }
  }
}
