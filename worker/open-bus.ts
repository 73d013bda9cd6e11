// The connection of a worker to NATS: waited for as long as it takes, since a pod's NATS may start after its workers.
import { setTimeout as pause } from 'node:timers/promises';
import type { Bus, BusSettings } from '../shared/bus/bus.ts';
import { connectBus } from '../shared/bus/nats-bus.ts';
import { toEspalierError } from '../shared/errors.ts';
import type { Log } from '../shared/log.ts';

/** One line of the log for each round of tries. */
const ROUND_MS = 60_000;
const RETRY_MS = 2_000;

/** Connects. Lost connections come back by themselves; the log tells of both.
 * @throws EspalierError "cancelled" when the signal aborts; "tls" or "usage" for settings that no waiting would help. */
export async function openBus(
  settings: BusSettings,
  log: Log,
  signal: AbortSignal,
  roundMs: number = ROUND_MS,
): Promise<Bus> {
  for (;;) {
    try {
      return await connectBus(settings, {
        name: `espalier-worker-${process.pid}`,
        signal,
        connectMs: roundMs,
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
