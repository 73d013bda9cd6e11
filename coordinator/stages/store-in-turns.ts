// Storing what a stage finds sub-layer by sub-layer while the next ones are being solved.

/** What is found within this time after something was stored is stored together: on a GPU a sub-layer takes less than storing
 * it does. */
const STORE_MS = 200;

export interface FoundObserver<Found> {
  /** Stores what there is. One call at a time; the last call holds all. */
  store(found: Found): Promise<void>;
  /** One more is found and, where it is stored at all, stored. */
  tell(found: Found): void;
}

/** Runs what tells of each thing that it has found, with all before it. Returns, or throws, when no call of `store` goes on
 * any more. @param find waits for what it tells `onFound`, the last thing as such. */
export async function storeInTurns<Found, Result>(
  { store, tell }: FoundObserver<Found>,
  find: (onFound: (found: Found, isLast: boolean) => Promise<void>) => Promise<Result>,
): Promise<Result> {
  let storing: Promise<void> = Promise.resolve();
  let storedMs = Number.NEGATIVE_INFINITY;
  try {
    const result = await find(async (found, isLast) => {
      if (!isLast && performance.now() - storedMs < STORE_MS) return tell(found);
      await storing;
      storedMs = performance.now();
      storing = store(found).then(() => tell(found));
      // Told by the next one that waits for it.
      storing.catch(() => {});
    });
    await storing;
    return result;
  } finally {
    await storing.catch(() => {});
  }
}
