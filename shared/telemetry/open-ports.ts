// The ports that a process shows itself on, both from one truth: metrics and readiness as plain HTTP, health as gRPC.
import type { Releases } from '../lifecycle.ts';
import { startHealthPort } from '../rpc/health-port.ts';
import { startHttpPort } from './http-server.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** A port of 0: none. */
export interface PortSettings {
  readonly metricsHost: string;
  readonly metricsPort: number;
  readonly healthHost: string;
  readonly healthPort: number;
}

/** Whoever releases closes them. @param metrics null only where there is no port for them. @param notReady a few words on what the process lacks to do its work, or null.
 * @throws EspalierError "usage" when a port cannot be had. */
export async function openPorts(
  { metricsHost, metricsPort, healthHost, healthPort }: PortSettings,
  { metrics, notReady }: { readonly metrics: ProcessMetrics | null; readonly notReady: () => string | null },
  releases: Releases,
): Promise<void> {
  if (metricsPort !== 0 && metrics !== null) {
    const http = await startHttpPort({ host: metricsHost, port: metricsPort, metrics, notReady });
    releases.add(() => http.close());
  }
  if (healthPort !== 0) {
    const health = await startHealthPort({ host: healthHost, port: healthPort, isReady: () => notReady() === null });
    releases.add(() => health.close());
  }
}
