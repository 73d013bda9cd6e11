// Opens what exports traces, where that is configured; else nothing is loaded and nothing is traced.
import type { Log } from '../log.ts';
import { NO_TRACER, type Tracer } from './trace.ts';

export interface TracerSettings {
  /** Base address of an OTLP/HTTP receiver, http(s)://host:port[/path], without /v1/traces; null: none. */
  readonly endpoint: string | null;
  /** "coordinator", "worker". */
  readonly process: string;
  /** Of this process: its id among those of its kind. */
  readonly instance: string;
  readonly version: string;
  readonly log: Log;
}

export async function openTracer(settings: TracerSettings): Promise<Tracer> {
  const { endpoint } = settings;
  if (endpoint === null) return NO_TRACER;
  const { OtlpTracer } = await import('./otlp-tracer.ts');
  return new OtlpTracer({ ...settings, endpoint });
}
