// What a worker shows of itself: metrics and readiness on the plain ports, traces. It is there before all else, so that a
// process that waits for NATS says so; `watch` tells it of the parts as they are opened.
import type { BlobStore } from '../shared/blobs/blob-store.ts';
import type { Bus } from '../shared/bus/bus.ts';
import { Releases } from '../shared/lifecycle.ts';
import type { Log } from '../shared/log.ts';
import { PROTOCOL_VERSION } from '../shared/rpc/protocol.ts';
import type { Tls } from '../shared/rpc/tls.ts';
import { espalierVersion } from '../shared/rpc/version.ts';
import { openPorts } from '../shared/telemetry/open-ports.ts';
import { openTracer } from '../shared/telemetry/open-tracer.ts';
import type { Tracer } from '../shared/telemetry/trace.ts';
import { watchOwnCertificates } from '../shared/telemetry/watch-certificates.ts';
import type { WorkerMetrics, WorkerSources } from '../shared/telemetry/worker-metrics.ts';
import type { WorkerConfig } from './config.ts';
import { GpuMemory } from './gpu-memory.ts';
import type { WorkerServer } from './service/worker-server.ts';

/** Parts of the process, each there from some moment on. */
export interface WatchedParts {
  readonly bus?: Bus | null;
  readonly blobs?: BlobStore;
  readonly server?: WorkerServer;
  /** The GPU that it computes on, as CUDA names it. */
  readonly gpu?: string;
}

export class ProcessTelemetry {
  /** Null without a port for them: nobody could read them, and to load what counts takes as long as a gRPC server. */
  metrics: WorkerMetrics | null = null;
  readonly tracer: Tracer;
  readonly #releases = new Releases();
  readonly #inCluster: boolean;
  #parts: WatchedParts = {};
  #gpuMemory: GpuMemory | null = null;
  #isDraining = false;

  private constructor(tracer: Tracer, inCluster: boolean) {
    this.tracer = tracer;
    this.#inCluster = inCluster;
    this.#releases.add(() => tracer.close());
  }

  /** @throws EspalierError "usage" when a port cannot be had. */
  static async open(config: WorkerConfig, tls: Tls | null, log: Log): Promise<ProcessTelemetry> {
    const { otlpEndpoint: endpoint } = config;
    const version = espalierVersion();
    const instance = String(process.pid);
    const tracer = await openTracer({ endpoint, process: 'worker', instance, version, log });
    const telemetry = new ProcessTelemetry(tracer, config.bus !== null);
    const metrics = config.metricsPort === 0 ? null : await telemetry.#openMetrics(version);
    if (metrics !== null) watchOwnCertificates(metrics, tls, config.bus);
    await openPorts(config, { metrics, notReady: () => telemetry.notReady() }, telemetry.#releases);
    return telemetry;
  }

  watch(parts: WatchedParts): void {
    this.#parts = { ...this.#parts, ...parts };
    const { bus } = parts;
    if (bus) this.metrics?.watchCertificate('nats_server', () => bus.serverCertificateEnd);
    if (parts.gpu === undefined) return;
    const memory = new GpuMemory(parts.gpu);
    this.#gpuMemory = memory;
    this.#releases.add(() => memory.close());
  }

  draining(): void {
    this.#isDraining = true;
  }

  /** A few words on what the process lacks to do its work, or null. */
  notReady(): string | null {
    const { bus, server } = this.#parts;
    if (this.#isDraining) return 'draining';
    if (this.#inCluster && !bus?.isConnected) return 'no connection to NATS';
    return server === undefined ? 'starting' : null;
  }

  close(): Promise<void> {
    return this.#releases.run();
  }

  async #openMetrics(version: string): Promise<WorkerMetrics> {
    const { WorkerMetrics } = await import('../shared/telemetry/worker-metrics.ts');
    this.metrics = new WorkerMetrics({ version, protocolVersion: PROTOCOL_VERSION }, this.#sources());
    return this.metrics;
  }

  #sources(): WorkerSources {
    return {
      tasks: () => this.#parts.server?.tasks ?? null,
      cache: () => {
        const { blobs } = this.#parts;
        return blobs === undefined ? null : { bytes: blobs.knownBytes, limitBytes: blobs.limitBytes };
      },
      gpuMemoryPeakBytes: () => this.#gpuMemory?.peakBytes ?? null,
      ...(this.#inCluster && { busConnected: () => this.#parts.bus?.isConnected ?? false }),
    };
  }
}
