// The connection of a process to NATS: waited for as long as it takes, since NATS may start after it.
import { setTimeout as pause } from 'node:timers/promises';
import { toEspalierError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Bus, BusSettings } from './bus.ts';
import { type BusOptions, connectBus } from './nats-bus.ts';

/** One line of the log for each round of tries; the first comes soon, so that a wrong address is seen. */
const FIRST_ROUND_MS = 3_000;
const ROUND_MS = 60_000;
const RETRY_MS = 2_000;

export interface OpenBusOptions extends Pick<BusOptions, 'create' | 'limits'> {
  /** Seen in the server's list of connections. */
  readonly name: string;
  readonly roundMs?: number;
}

/** Connects. Lost connections come back by themselves; the log tells of both.
 * @throws EspalierError "cancelled" when the signal aborts; "tls" or "usage" for settings that no waiting would help. */
export async function openBus(
  settings: BusSettings,
  log: Log,
  signal: AbortSignal,
  { roundMs = ROUND_MS, ...options }: OpenBusOptions,
): Promise<Bus> {
  for (let connectMs = Math.min(FIRST_ROUND_MS, roundMs); ; connectMs = roundMs) {
    try {
      return await connectBus(settings, {
        ...options,
        signal,
        connectMs,
        onNotice: ({ event, detail }) => log.warning(`NATS ${event}`, { detail }),
      });
    } catch (caught) {
      const error = toEspalierError(caught);
      if (error.code !== 'bus_unavailable') throw error;
      log.warning('waiting for NATS', { error });
      await pause(RETRY_MS, undefined, { signal }).catch(() => {});
    }
  }
}
