// What a worker says of itself every two seconds, on `espalier.worker.<instance id>`, and once more with state "gone" when
// it leaves. A coordinator drops a worker that was silent for SILENT_MS.
import type { DeviceClass } from '../rpc/protocol.ts';

export const HEARTBEAT_MS = 2_000;
export const SILENT_MS = 7_000;
export const HEARTBEAT_SCHEMA = 1;
export const WORKER_SUBJECT = 'espalier.worker';

export interface Heartbeat {
  readonly schema: number;
  /** Random for each start of the process, as in Describe. */
  readonly instanceId: string;
  /** host:port under which coordinators reach it; its certificate must name the host. */
  readonly address: string;
  readonly version: string;
  readonly protocolVersion: number;
  readonly deviceClass: DeviceClass;
  readonly memoryBytes: number;
  /** Machine that it runs on: workers with the same one share a CPU. */
  readonly host: string;
  readonly state: 'serving' | 'draining' | 'gone';
  /** Tasks that it has, computing, waiting or sending, of all coordinators, and how many it takes. */
  readonly tasks: number;
  readonly taskLimit: number;
  /** Digests of weight files that its engine holds in memory, at most 64. */
  readonly models: readonly string[];
}
