// The one file that knows OpenTelemetry: spans to an OTLP/HTTP receiver, as JSON. It is imported only where an endpoint is
// configured. Spans wait in a queue of fixed length; what does not fit, and what the receiver does not take in time, is
// dropped: tracing never holds up a job. A receiver that fails is told of once, and again after it had worked.
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-base';
import { toEspalierError } from '../errors.ts';
import { within } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { TracerSettings } from './open-tracer.ts';
import { formatTraceparent, parseTraceparent, type Span, type SpanOptions, type Tracer } from './trace.ts';

const QUEUE_SPANS = 4096;
const BATCH_SPANS = 256;
const DELAY_MS = 2_000;
const EXPORT_MS = 5_000;
const CLOSE_MS = 3_000;
const MAX_TEXT = 1024;

const KINDS = { internal: SpanKind.INTERNAL, client: SpanKind.CLIENT, server: SpanKind.SERVER } as const;

type Provider = ConstructorParameters<typeof BasicTracerProvider>[0] & object;
type Resource = NonNullable<Provider['resource']>;

export class OtlpTracer implements Tracer {
  readonly #provider: BasicTracerProvider;
  readonly #tracer: ReturnType<BasicTracerProvider['getTracer']>;

  constructor(settings: TracerSettings & { readonly endpoint: string }) {
    const exporter = new OTLPTraceExporter({ url: tracesUrl(settings.endpoint), timeoutMillis: EXPORT_MS });
    const processor = new BatchSpanProcessor(tellingExporter(exporter, settings), {
      maxQueueSize: QUEUE_SPANS,
      maxExportBatchSize: BATCH_SPANS,
      scheduledDelayMillis: DELAY_MS,
      exportTimeoutMillis: EXPORT_MS,
    });
    this.#provider = new BasicTracerProvider({
      resource: resourceOf({
        'service.name': `espalier-${settings.process}`,
        'service.version': settings.version,
        'service.instance.id': settings.instance,
      }),
      spanProcessors: [processor],
      spanLimits: { attributeValueLengthLimit: MAX_TEXT },
    });
    this.#tracer = this.#provider.getTracer('espalier', settings.version);
  }

  start(name: string, { parent, kind = 'internal', attributes = {} }: SpanOptions): Span {
    const context = parseTraceparent(parent);
    const parentContext =
      context === null
        ? ROOT_CONTEXT
        : trace.setSpanContext(ROOT_CONTEXT, { ...context, traceFlags: Number(context.sampled), isRemote: true });
    const span = this.#tracer.startSpan(name, { kind: KINDS[kind], attributes: { ...attributes } }, parentContext);
    const { traceId, spanId, traceFlags } = span.spanContext();
    return {
      traceparent: formatTraceparent({ traceId, spanId, sampled: (traceFlags & 1) === 1 }),
      set: (more) => {
        span.setAttributes({ ...more });
      },
      end: (caught) => {
        if (!span.isRecording()) return;
        if (caught !== undefined) {
          const { code, message } = toEspalierError(caught);
          span.setAttributes({ 'error.type': code });
          span.setStatus({ code: SpanStatusCode.ERROR, message: message.slice(0, MAX_TEXT) });
        }
        span.end();
      },
    };
  }

  async close(): Promise<void> {
    // The exporter has told of what failed.
    await within(
      this.#provider.shutdown().catch(() => {}),
      CLOSE_MS,
    );
  }
}

/** An endpoint is the base of all signals; the path of traces is fixed. */
function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`;
  return url.href;
}

function tellingExporter(inner: OTLPTraceExporter, { endpoint, log }: { endpoint: string; log: Log }): SpanExporter {
  // Never the whole address: it may hold a password.
  const receiver = new URL(endpoint).host;
  let isFailing = false;
  return {
    export: (spans, done) =>
      inner.export(spans, (result) => {
        // 0 is success.
        if (result.code !== 0 && !isFailing)
          log.warning('traces not exported', { receiver, spans: spans.length, reason: result.error?.message });
        isFailing = result.code !== 0;
        done(result);
      }),
    forceFlush: () => inner.forceFlush(),
    shutdown: () => inner.shutdown(),
  };
}

/** What all spans of this process have in common; Node's own resource detectors tell more than anyone asked for. */
function resourceOf(attributes: Record<string, string>): Resource {
  const resource: Resource = {
    attributes,
    merge: () => resource,
    getRawAttributes: () => Object.entries(attributes),
  };
  return resource;
}
