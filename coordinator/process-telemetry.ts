// What a coordinator shows of itself: metrics and readiness on the plain ports, traces. It is there before all else, so
// that a process which waits for NATS says so; `watch` tells it of the parts as they are opened.
import type { Bus, StoreUsage } from '../shared/bus/bus.ts';
import { Releases } from '../shared/lifecycle.ts';
import type { Log } from '../shared/log.ts';
import { PROTOCOL_VERSION } from '../shared/rpc/protocol.ts';
import type { Tls } from '../shared/rpc/tls.ts';
import { espalierVersion } from '../shared/rpc/version.ts';
import {
  CoordinatorMetrics,
  type CoordinatorSources,
  type JobStateLabel,
} from '../shared/telemetry/coordinator-metrics.ts';
import { openPorts } from '../shared/telemetry/open-ports.ts';
import { openTracer } from '../shared/telemetry/open-tracer.ts';
import type { Tracer } from '../shared/telemetry/trace.ts';
import { watchOwnCertificates } from '../shared/telemetry/watch-certificates.ts';
import type { CoordinatorConfig } from './config.ts';
import type { Coordinator } from './coordinator.ts';
import type { JobIndex } from './jobs/job-index.ts';
import type { Fleet } from './workers/fleet.ts';

const USAGE_MS = 15_000;

/** Parts of the process, each there from some moment on. */
export interface WatchedParts {
  readonly bus?: Bus;
  readonly index?: JobIndex;
  readonly fleet?: Fleet;
  readonly coordinator?: Coordinator;
}

export class ProcessTelemetry {
  readonly metrics: CoordinatorMetrics;
  readonly tracer: Tracer;
  readonly #releases = new Releases();
  #parts: WatchedParts = {};
  #usage: StoreUsage | null = null;

  private constructor(tracer: Tracer) {
    this.tracer = tracer;
    this.metrics = new CoordinatorMetrics(
      { version: espalierVersion(), protocolVersion: PROTOCOL_VERSION },
      this.#sources(),
    );
    this.#releases.add(() => tracer.close());
  }

  /** @throws EspalierError "usage" when a port cannot be had. */
  static async open(config: CoordinatorConfig, tls: Tls | null, log: Log): Promise<ProcessTelemetry> {
    const { id: instance, otlpEndpoint: endpoint } = config;
    const version = espalierVersion();
    const telemetry = new ProcessTelemetry(
      await openTracer({ endpoint, process: 'coordinator', instance, version, log }),
    );
    watchOwnCertificates(telemetry.metrics, tls, config.bus);
    const { metrics } = telemetry;
    await openPorts(config, { metrics, notReady: () => telemetry.notReady() }, telemetry.#releases);
    return telemetry;
  }

  watch(parts: WatchedParts): void {
    this.#parts = { ...this.#parts, ...parts };
    const { bus } = parts;
    if (bus === undefined) return;
    this.metrics.watchCertificate('nats_server', () => bus.serverCertificateEnd);
    this.#releases.add(bus.onReconnect(() => this.metrics.busReconnected()));
    const look = () => void this.#readUsage(bus);
    const timer = setInterval(look, USAGE_MS).unref();
    this.#releases.add(() => clearInterval(timer));
    look();
  }

  /** A few words on what the process lacks to do its work, or null. */
  notReady(): string | null {
    const { bus, coordinator } = this.#parts;
    if (bus === undefined || !bus.isConnected) return 'no connection to NATS';
    if (coordinator === undefined) return 'starting';
    if (coordinator.isDraining) return 'draining';
    return coordinator.isLeaseHeld ? null : 'no lease';
  }

  close(): Promise<void> {
    return this.#releases.run();
  }

  async #readUsage(bus: Bus): Promise<void> {
    if (!bus.isConnected) return;
    // Shown as it was last known: that NATS does not answer is another metric.
    this.#usage = await bus.objects.usage().catch(() => this.#usage);
  }

  #sources(): CoordinatorSources {
    return {
      jobs: () => (this.#parts.index === undefined ? null : countJobs(this.#parts.index)),
      oldestQueuedSeconds: () => (this.#parts.index === undefined ? null : oldestQueuedSeconds(this.#parts.index)),
      ownJobs: () => this.#parts.coordinator?.size ?? null,
      tasksPending: () => this.#parts.fleet?.pendingTasks ?? null,
      clusterTasksPending: () => this.#parts.fleet?.clusterPendingTasks ?? null,
      workers: () => this.#parts.fleet?.size ?? null,
      handOvers: () => this.#parts.fleet?.handOvers ?? 0,
      store: () => this.#usage,
      busConnected: () => this.#parts.bus?.isConnected ?? false,
    };
  }
}

function countJobs(index: JobIndex): Record<JobStateLabel, number> {
  const counts = { queued: 0, running: 0, done: 0, failed: 0, cancelled: 0 };
  for (const job of index.jobs()) if (index.isListed(job)) counts[job.state] += 1;
  return counts;
}

function oldestQueuedSeconds(index: JobIndex): number {
  let oldest = Number.POSITIVE_INFINITY;
  for (const { state, createdAt } of index.unfinished())
    if (state === 'queued') oldest = Math.min(oldest, Date.parse(createdAt));
  return Number.isFinite(oldest) ? Math.max(0, (Date.now() - oldest) / 1000) : 0;
}
