// New work stops before a store is full, so that what runs can still store its records, stages and results.
import type { StoreUsage } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';

/** What new work may take of a store. */
export interface RoomForNew {
  /** Of the store, for errors. */
  readonly name: string;
  /** Share of its limit that may be taken when new work is let in, 0 to 1. */
  readonly share: number;
}

/** @throws EspalierError "store_full" unless the store has room for `bytes` more of new work. */
export async function requireRoom(
  store: { usage(): Promise<StoreUsage> },
  { name, share }: RoomForNew,
  bytes: number,
): Promise<void> {
  const { bytes: used, limitBytes } = await store.usage();
  if (limitBytes <= 0 || used + bytes <= limitBytes * share) return;
  const megabytes = (value: number) => `${(value / 1e6).toFixed(value < 1e6 ? 3 : 1)} MB`;
  throw new EspalierError(
    'store_full',
    `got ${megabytes(bytes)} more for the ${name} of ${megabytes(limitBytes)} that holds ${megabytes(used)}, expected at most ${share * 100} % of it to be taken by new work`,
  );
}
