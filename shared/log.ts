// Logs: one JSON line an event on standard error, with a constant message and fields.
import { EspalierError } from './errors.ts';

export type LogLevel = 'info' | 'warning' | 'error';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  /** A log whose lines carry these fields as well: `job`, `attempt`, `task`, `trace`. */
  child(fields: LogFields): Log;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** A log whose lines all carry `common` fields. */
export function createLog(
  common: LogFields = {},
  write: (line: string) => void = (line) => process.stderr.write(line),
): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      const entry = { time: new Date().toISOString(), level, message, ...common, ...fields };
      write(`${JSON.stringify(entry, plainError)}\n`);
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

/** JSON would show an error as {}. */
function plainError(_key: string, value: unknown): unknown {
  if (value instanceof EspalierError) return { code: value.code, message: value.message };
  if (value instanceof Error) return { name: value.name, message: value.message };
  return value;
}
