// What a coordinator is from its settings on: connections, the fleet, jobs, the API, the drain. Apart from main.ts, since it
// takes half a second to load, which help and refused settings should not wait for.
import path from 'node:path';
import { openBus } from '../shared/bus/open-bus.ts';
import { type Draining, killSelf, Releases } from '../shared/lifecycle.ts';
import type { Log } from '../shared/log.ts';
import { Tls } from '../shared/rpc/tls.ts';
import { startApiServer } from './api/api-server.ts';
import { VolumeChecks } from './campaign/check-volumes.ts';
import type { CoordinatorConfig } from './config.ts';
import { Coordinator } from './coordinator.ts';
import { openJobResources } from './job-resources.ts';
import { ClusterJobStore } from './jobs/cluster-job-store.ts';
import { Housekeeping } from './jobs/housekeeping.ts';
import { MOST_ASIDE, maxJobs } from './jobs/max-jobs.ts';
import { ScratchFolders } from './jobs/scratch-folders.ts';
import { watchLeases } from './jobs/watch-leases.ts';
import { ProcessTelemetry } from './process-telemetry.ts';
import { runHeldJob } from './run-held-job.ts';
import { openFleet } from './workers/open-fleet.ts';

const DRAIN_MS = 10_000;
/** Of the drain, for jobs to be handed back; then NATS is taken to be away. */
const HAND_BACK_MS = 8_000;
/** After the drain, for connections to close. */
const RELEASE_MS = 3_000;

/** Serves until the process is asked to end, drains, and ends the process. @throws EspalierError what kept it from serving. */
export async function serveJobs(config: CoordinatorConfig, draining: Draining, log: Log): Promise<void> {
  const { host, id, leaseMs } = config;
  const releases = new Releases();
  const tls = config.tls === null ? null : await Tls.openLogged(config.tls, 'coordinator', log);
  releases.add(() => tls?.close());
  const telemetry = await ProcessTelemetry.open(config, tls, log);
  releases.add(() => telemetry.close());
  const { metrics, tracer } = telemetry;
  const bus = await openBus(config.bus, log, draining.signal, {
    name: `espalier-coordinator-${id}`,
    create: true,
    limits: {
      ...(config.storeLimitBytes !== null && { storeBytes: config.storeLimitBytes }),
      replicas: config.replicas,
    },
  });
  releases.add(() => bus.close());
  const watches = new AbortController();
  releases.add(() => watches.abort());
  const leases = await watchLeases(bus, leaseMs, watches.signal);
  const store = await ClusterJobStore.open(bus, log, metrics);
  releases.add(() => store.close());
  telemetry.watch({ bus, index: store.index });
  const volumes = new Map(Object.entries(config.volumes));
  const { cacheDir, cacheLimitBytes } = config;
  const resources = await openJobResources({
    ...{ objects: bus.objects, bus: config.bus, cacheDir, cacheLimitBytes, volumes },
  });
  const scratch = await ScratchFolders.open(path.join(cacheDir, 'jobs'));
  releases.add(() => scratch.close());
  const onNotice = (text: string) => log.warning('fleet', { text });
  const fleet = await openFleet({
    ...{ bus, tls, insecure: config.insecure, workerTlsName: config.workerTlsName, coordinatorId: id, onNotice },
    listener: metrics,
  });
  releases.add(() => fleet.close());
  const coordinator = await Coordinator.start({
    ...{ bus, store, leases, id, leaseMs, log },
    maxJobs: () => config.maxJobs ?? maxJobs(fleet.size, leases),
    maxHeld: () => config.maxJobs ?? maxJobs(fleet.size, leases) + MOST_ASIDE,
    runJob: (job, aside) => runHeldJob(job, { resources, fleet, scratch, tracer, listener: metrics, aside }),
  });
  releases.add(() => coordinator.drain());
  const housekeeping = new Housekeeping({ bus, store, leases, id, leaseMs, log, retentionMs: config.retentionMs });
  releases.add(() => housekeeping.close());
  const onCallEnded = (method: string, status: string) => metrics.apiCallEnded(method, status);
  const volumeChecks = new VolumeChecks({ resources, newFolder: () => scratch.pathForCheck() });
  const api = await startApiServer({
    ...{ host, port: config.port, store, bus, volumes, volumeChecks, tls, tracer, onCallEnded, log },
  });
  releases.add(() => api.close());
  telemetry.watch({ fleet, coordinator });
  const certificate = tls === null ? {} : { certificateValidTo: tls.validTo };
  log.info('serving', { host, port: api.port, owner: coordinator.owner, tls: tls !== null, ...certificate });

  await draining.asked;
  log.info('draining', { jobs: coordinator.size });
  setTimeout(killSelf, DRAIN_MS + RELEASE_MS).unref();
  setTimeout(() => {
    // Calls that wait for NATS would wait longer than there is time.
    log.warning('NATS does not answer: jobs that run are left for others', { jobs: coordinator.size });
    coordinator.abandon();
    void bus.close();
  }, HAND_BACK_MS).unref();
  await Promise.all([coordinator.drain(), api.drain(DRAIN_MS)]);
  await releases.run();
  log.info('drained');
  process.exit(0);
}
