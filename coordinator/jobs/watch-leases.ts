// Feeds the table of leases from their bucket, for as long as the signal does not abort.
import type { Bus } from '../../shared/bus/bus.ts';
import { LeaseTable } from './lease-table.ts';

const TICKS_A_PERIOD = 10;

/** Resolves when the table holds all leases. @throws EspalierError "bus_unavailable". */
export async function watchLeases(
  bus: Pick<Bus, 'leases' | 'onReconnect'>,
  leaseMs: number,
  signal: AbortSignal,
  now: () => number = () => performance.now(),
): Promise<LeaseTable> {
  const table = new LeaseTable(leaseMs, now);
  const stop = bus.onReconnect(() => table.reconnected());
  const ticks = setInterval(() => table.tick(), leaseMs / TICKS_A_PERIOD);
  const end = () => {
    stop();
    clearInterval(ticks);
  };
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  try {
    await bus.leases.watch('', (entry) => table.apply(entry), signal);
  } catch (caught) {
    end();
    throw caught;
  }
  return table;
}
