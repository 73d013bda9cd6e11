// New jobs and blobs stop before the store is full, while those that run can still store their stages and results.
import type { Bus } from '../../shared/bus/bus.ts';
import { EspalierError } from '../../shared/errors.ts';
import { ROOM_FOR_NEW } from './limits.ts';

/** @throws EspalierError "store_full" unless the object store has room for `bytes` more of new work. */
export async function requireRoom(objects: Pick<Bus['objects'], 'usage'>, bytes: number): Promise<void> {
  const { bytes: used, limitBytes } = await objects.usage();
  if (limitBytes <= 0 || used + bytes <= limitBytes * ROOM_FOR_NEW) return;
  const megabytes = (value: number) => `${(value / 1e6).toFixed(1)} MB`;
  throw new EspalierError(
    'store_full',
    `got ${megabytes(bytes)} more for a store of ${megabytes(limitBytes)} that holds ${megabytes(used)}, expected at most ${ROOM_FOR_NEW * 100} % of it to be taken by new work`,
  );
}
