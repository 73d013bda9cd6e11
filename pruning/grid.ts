// The shares of cost that a gradual trajectory goes through. They are the same for every job, so that what a budget gives does
// not depend on which others were asked for: docs/adr/0028-gradual.md.

/** The grid's first shares, falling; each further one is 0.8 of the one before. */
const FIRST_SHARES = [0.8, 0.65, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2] as const;
const FURTHER = 0.8;
/** Of each further share: 0.16 and not 0.16000000000000003, which a user's 0.16 would lie below. */
const DIGITS = 12;

/** Where the student of a share comes from. */
export interface SharePath {
  /** Shares of the grid in the order in which students are made of each other; the dense model comes before the first. */
  readonly trunk: readonly number[];
  /** The share itself where the grid does not have it: a step from the trunk's last student; else null. */
  readonly branch: number | null;
}

/** "one": a step from the dense model to each share. */
export type GridKind = 'grid' | 'one';

/** The steps to a share: all shares of the grid that are larger, however little, then the share.
 * @param share in (0, 1]. */
export function pathTo(share: number, kind: GridKind = 'grid'): SharePath {
  if (!(share > 0 && share <= 1)) throw new RangeError(`share: got ${share}, expected more than 0 and at most 1`);
  if (kind === 'one') return { trunk: [], branch: share };
  const trunk: number[] = [];
  for (let step = 0; gridShare(step) >= share; step++) trunk.push(gridShare(step));
  return trunk.at(-1) === share ? { trunk, branch: null } : { trunk, branch: share };
}

function gridShare(step: number): number {
  const last = FIRST_SHARES.length - 1;
  return step <= last
    ? FIRST_SHARES[step]
    : Number((FIRST_SHARES[last] * FURTHER ** (step - last)).toPrecision(DIGITS));
}
