// Load reports as they come in: written by a peer, so every field is checked before anything is done with it.
import { LOAD_REPORT_SCHEMA, LOAD_SUBJECT, type LoadReport } from '../../shared/bus/load-report.ts';

const MAX_BYTES = 512 * 1024;
const MAX_TEXT = 300;
const MAX_ENTRIES = 4096;
const MAX_JOBS = 1e6;
const MAX_PENDING = 1e9;
const ID = /^[0-9A-Za-z_-]{1,64}$/;

/** @returns what the message says; null: it is none of a coordinator. */
export function readLoadReport(subject: string, payload: Uint8Array): LoadReport | null {
  if (payload.byteLength > MAX_BYTES) return null;
  let value: Partial<Record<keyof LoadReport, unknown>> | null;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as typeof value;
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || value.schema !== LOAD_REPORT_SCHEMA) return null;
  const { coordinatorId, jobs, homes, pendingTasks = 0 } = value;
  if (typeof coordinatorId !== 'string' || !ID.test(coordinatorId)) return null;
  if (subject !== `${LOAD_SUBJECT}.${coordinatorId}` || !areCounts(jobs) || !areCounts(homes)) return null;
  if (!isNumber(pendingTasks, MAX_PENDING)) return null;
  return value as unknown as LoadReport;
}

function areCounts(value: unknown): boolean {
  return Array.isArray(value) && value.length <= MAX_ENTRIES && value.every(isCount);
}

function isCount(entry: unknown): boolean {
  if (!Array.isArray(entry) || entry.length !== 2) return false;
  const [name, count] = entry as unknown[];
  const isName = typeof name === 'string' && name.length > 0 && name.length <= MAX_TEXT;
  return isName && isNumber(count, MAX_JOBS);
}

function isNumber(value: unknown, most: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
}
