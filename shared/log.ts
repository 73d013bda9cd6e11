// Logs: one JSON line an event on standard error, with a constant message and fields.
import { EspalierError } from './errors.ts';

export type LogLevel = 'info' | 'warning' | 'error';

export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warning(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** A log whose lines all carry `common` fields. */
export function createLog(
  common: Readonly<Record<string, unknown>> = {},
  write: (line: string) => void = (line) => process.stderr.write(line),
): Log {
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      const entry = { time: new Date().toISOString(), level, message, ...common, ...fields };
      write(`${JSON.stringify(entry, plainError)}\n`);
    };
  return { info: at('info'), warning: at('warning'), error: at('error') };
}

/** A log that goes nowhere. */
export const SILENT_LOG: Log = { info: () => {}, warning: () => {}, error: () => {} };

/** JSON would show an error as {}. */
function plainError(_key: string, value: unknown): unknown {
  if (value instanceof EspalierError) return { code: value.code, message: value.message };
  if (value instanceof Error) return { name: value.name, message: value.message };
  return value;
}
