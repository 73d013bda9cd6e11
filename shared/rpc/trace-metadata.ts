// The trace context in the metadata of gRPC calls.
import { Metadata } from '@grpc/grpc-js';
import { parseTraceparent, TRACEPARENT } from '../telemetry/trace.ts';

/** Metadata that carries this context on; empty without one. */
export function traceMetadata(traceparent: string | null): Metadata {
  const metadata = new Metadata();
  if (parseTraceparent(traceparent) !== null) metadata.set(TRACEPARENT, traceparent!);
  return metadata;
}

/** The context that the caller sent; null when it sent none, or something else. */
export function traceparentOf(metadata: Metadata): string | null {
  const [text] = metadata.get(TRACEPARENT);
  return typeof text === 'string' && parseTraceparent(text) !== null ? text : null;
}
