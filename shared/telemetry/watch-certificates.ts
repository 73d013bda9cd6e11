// Shows when the certificates end that a process presents itself: to its peers over gRPC, and to NATS.
import type { BusSettings } from '../bus/bus.ts';
import type { Tls } from '../rpc/tls.ts';
import { certificateEnd } from '../rpc/tls-files.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** @param tls null: without TLS; @param bus null: without NATS. */
export function watchOwnCertificates(metrics: ProcessMetrics, tls: Tls | null, bus: BusSettings | null): void {
  if (tls !== null) metrics.watchCertificate('grpc', () => tls.validTo);
  const file = bus?.tls?.certificate ?? null;
  // The client of NATS reads the file with each connection: what lies there is what the next one presents.
  if (file !== null) metrics.watchCertificate('nats', () => certificateEnd(file));
}
