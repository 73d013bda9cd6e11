// Opens the fleet of one coordinator: heartbeats in, tasks out.
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import type { Clock } from './clock.ts';
import type { Fleet } from './fleet.ts';
import type { FleetListener } from './fleet-listener.ts';

export interface OpenFleetOptions {
  readonly bus: Bus;
  /** Null: connects without TLS, to loopback addresses only unless `insecure`. Stays the caller's. */
  readonly tls: Tls | null;
  readonly insecure: boolean;
  readonly coordinatorId: string;
  /** Told once of each worker that is left out, and why. */
  readonly onNotice: (text: string) => void;
  readonly listener?: FleetListener;
  readonly clock?: Clock;
}

/** Listens for workers from now on. Close it before the bus. */
export async function openFleet(options: OpenFleetOptions): Promise<Fleet> {
  throw new EspalierError('internal', `${options.coordinatorId}: the fleet is not there yet`);
}
