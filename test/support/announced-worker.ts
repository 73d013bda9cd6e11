// A fake worker that says by heartbeat what it is; the test decides when, and may lie.

import type { Bus } from '../../shared/bus/bus.ts';
import { HEARTBEAT_SCHEMA, type Heartbeat, WORKER_SUBJECT } from '../../shared/bus/heartbeat.ts';
import { PROTOCOL_VERSION } from '../../shared/rpc/protocol.ts';
import { espalierVersion } from '../../shared/rpc/version.ts';
import { FAKE_DEVICE, type FakeWorker, type FakeWorkerOptions, startFakeWorker } from './fake-executor.ts';

export interface AnnouncedWorker extends FakeWorker {
  /** Sends one heartbeat. */
  beat(lies?: Partial<Heartbeat>): void;
}

export async function startAnnouncedWorker(
  bus: Bus,
  options: FakeWorkerOptions & { readonly host?: string; readonly models?: readonly string[] } = {},
): Promise<AnnouncedWorker> {
  const worker = await startFakeWorker(options);
  const { instanceId } = worker.server;
  const beat = (lies: Partial<Heartbeat> = {}) => {
    const heartbeat: Heartbeat = {
      schema: HEARTBEAT_SCHEMA,
      instanceId,
      address: worker.address,
      version: espalierVersion(),
      protocolVersion: PROTOCOL_VERSION,
      deviceClass: options.deviceClass ?? FAKE_DEVICE,
      memoryBytes: 1e9,
      host: options.host ?? `host of ${worker.port}`,
      state: 'serving',
      tasks: worker.server.tasks,
      taskLimit: worker.server.taskLimit,
      models: options.models ?? [],
      ...lies,
    };
    bus.publish(`${WORKER_SUBJECT}.${instanceId}`, Buffer.from(JSON.stringify(heartbeat)));
  };
  beat();
  return { ...worker, beat };
}
