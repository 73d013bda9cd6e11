// Logs: one JSON line an event on standard error, with a constant message and fields. A line is bounded, holds no secrets
// and no bytes, and writing one never throws.
import { EspalierError } from './errors.ts';
import { redact } from './redact.ts';

export type LogLevel = 'info' | 'warning' | 'error';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  /** A log whose lines carry these fields as well: `job`, `attempt`, `task`, `trace`. */
  child(fields: LogFields): Log;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Longer texts, as a peer's error may bring along, are cut. */
const MAX_TEXT = 4096;

/** A log whose lines all carry `common` fields. */
export function createLog(
  common: LogFields = {},
  write: (line: string) => void = (line) => process.stderr.write(line),
): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      const entry = { time: new Date().toISOString(), level, message };
      write(`${lineOf({ ...entry, ...common, ...fields }) ?? lineOf({ ...entry, fields: 'not writable' })}\n`);
    };
  return {
    child: (fields) => createLog({ ...common, ...fields }, write),
    info: at('info'),
    warning: at('warning'),
    error: at('error'),
  };
}

/** A log that goes nowhere. */
export const SILENT_LOG: Log = { child: () => SILENT_LOG, info: () => {}, warning: () => {}, error: () => {} };

/** null where the fields cannot be written: one points back at itself, or its getter throws. */
function lineOf(entry: LogFields): string | null {
  try {
    return JSON.stringify(entry, plain);
  } catch {
    return null;
  }
}

/** JSON would show an error as {}, and bytes number by number. */
function plain(this: unknown, key: string, value: unknown): unknown {
  const original = (this as Readonly<Record<string, unknown>>)[key];
  if (original instanceof Uint8Array) return `[${original.length} bytes]`;
  if (value instanceof EspalierError) return { code: value.code, message: value.message };
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'string') return value;
  const text = redact(value);
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)} …` : text;
}
