// Storing what a stage finds sub-layer by sub-layer while the next ones are being solved.
import type { WritesBehind } from '../job/writes-behind.ts';

/** What is found within this time after something was stored is stored together: on a GPU a sub-layer takes less than storing
 * it does. */
const STORE_MS = 200;

export interface FoundObserver<Found> {
  /** Stores what there is. One call at a time; the last call holds all. */
  store(found: Found): Promise<void>;
  /** One more is found and, where it is stored at all, stored. */
  tell(found: Found): void;
}

/** Runs what tells of each thing that it has found, with all before it. Returns, or throws, when no call of `store` goes on any more;
 * with `behind`, which gets what is left of them, as soon as all is found.
 * @param behind what stages before have found is stored first. @param find tells `onFound` the last thing as such. */
export async function storeInTurns<Found, Result>(
  behind: WritesBehind | undefined,
  { store, tell }: FoundObserver<Found>,
  find: (onFound: (found: Found, isLast: boolean) => void) => Promise<Result>,
): Promise<Result> {
  const before = behind?.settled();
  let toStore: { readonly found: Found } | null = null;
  let storing: Promise<void> | null = null;
  let storedMs = Number.NEGATIVE_INFINITY;
  let failure: { readonly cause: unknown } | null = null;
  const storeAll = async () => {
    await before;
    while (toStore !== null) {
      const { found } = toStore;
      toStore = null;
      storedMs = performance.now();
      await store(found);
      tell(found);
    }
    storing = null;
  };
  const onFound = (found: Found, isLast: boolean) => {
    if (failure !== null) throw failure.cause;
    if (!isLast && performance.now() - storedMs < STORE_MS) return tell(found);
    if (toStore !== null) tell(toStore.found);
    toStore = { found };
    storing ??= storeAll();
    storing.catch((cause) => {
      failure = { cause };
    });
  };
  const rest = async () => {
    await storing;
  };
  try {
    const result = await find(onFound);
    if (behind === undefined) await rest();
    else behind.add(null, rest);
    return result;
  } catch (caught) {
    await rest().catch(() => {});
    throw caught;
  }
}
