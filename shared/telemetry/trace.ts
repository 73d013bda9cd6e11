// Traces as the rest of the project sees them: W3C trace contexts and spans. Nothing here imports a package: what exports
// spans is loaded by `open-tracer.ts` alone, and only where an endpoint is configured.
//
// A span: open → ended, once. Its context goes along to whoever works for it, as the text `traceparent`: in a job's
// record, and in the gRPC metadata of submits and tasks.
import { randomBytes } from 'node:crypto';

/** Key of gRPC metadata, and of HTTP headers, that carries a context. */
export const TRACEPARENT = 'traceparent';

export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all 0. */
  readonly traceId: string;
  /** 16 of them, not all 0. */
  readonly spanId: string;
  /** Whether whoever began the trace records it. */
  readonly sampled: boolean;
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanOptions {
  /** `traceparent` of the span that this one is part of; null, or malformed: it begins a trace. */
  readonly parent: string | null;
  /** "client": it waits for another process; "server": it works for one; else "internal". */
  readonly kind?: 'internal' | 'client' | 'server';
  readonly attributes?: SpanAttributes;
}

export interface Span {
  /** For those who work for this span; null where nothing is traced and there was no parent. */
  readonly traceparent: string | null;
  set(attributes: SpanAttributes): void;
  /** Ends it, as failed where an error is given. A second call does nothing. */
  end(error?: unknown): void;
}

export interface Tracer {
  /** Never throws and never waits. `name` is one of few: what differs goes into attributes. */
  start(name: string, options: SpanOptions): Span;
  /** Sends what is left, for a few seconds at most. Never throws. */
  close(): Promise<void>;
}

/** Traces nothing; contexts of parents are passed on, so that the logs of all processes name the same trace. */
export const NO_TRACER: Tracer = {
  start: (_name, { parent }) => ({
    traceparent: parseTraceparent(parent) === null ? null : parent,
    set: () => {},
    end: () => {},
  }),
  close: async () => {},
};

/** Runs `work` as a span. Its context is one in any case: where nothing is traced and there was no parent, a new one, so that
 * the logs of what follows have a trace in common. */
export async function inSpan<Result>(
  tracer: Tracer,
  name: string,
  parent: string | null,
  work: (traceparent: string) => Promise<Result>,
): Promise<Result> {
  const span = tracer.start(name, { parent, kind: 'server' });
  try {
    const result = await work(span.traceparent ?? formatTraceparent(newTraceContext()));
    span.end();
    return result;
  } catch (caught) {
    span.end(caught);
    throw caught;
  }
}

// Version 00 has exactly these four parts; later versions may have more, of which nothing is known.
const PATTERN = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const LONGEST = 256;

/** Reads a `traceparent` of any origin. @returns null when it is none: contexts are a convenience, never an error. */
export function parseTraceparent(text: unknown): TraceContext | null {
  if (typeof text !== 'string' || text.length > LONGEST) return null;
  const [, version, traceId, spanId, flags, rest] = PATTERN.exec(text) ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** The context of a new trace. */
export function newTraceContext(): TraceContext {
  return { traceId: randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex'), sampled: true };
}

/** Fields for a log of whatever works for this context: empty without one. */
export function traceFields(traceparent: string | null): { readonly trace?: string } {
  const context = parseTraceparent(traceparent);
  return context === null ? {} : { trace: context.traceId };
}
