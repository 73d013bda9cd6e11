// A bounded number of asynchronous calls at a time.

/** The results in order of the items. At the first failure no further call is started, and it is thrown when those that
 * run have ended. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  limit: number,
  call: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(items.length);
  const failures: unknown[] = [];
  let next = 0;
  const runner = async () => {
    while (next < items.length && failures.length === 0) {
      const at = next++;
      try {
        results[at] = await call(items[at]);
      } catch (caught) {
        failures.push(caught);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, runner));
  if (failures.length > 0) throw failures[0];
  return results;
}
