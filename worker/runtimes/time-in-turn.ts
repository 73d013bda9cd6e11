// Times models in turn: what slows the machine down for a while then slows all of them down, and not one.

/** Rounds that are not counted: memory is laid out and caches are filled in them. */
const WARM_UPS = 2;
export const MOST_ROUNDS = 1000;

export interface TurnOptions {
  /** Rounds that are timed at least. */
  readonly repeats: number;
  /** Rounds go on until they took this long together. */
  readonly leastSeconds: number;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** Called before each pass; may throw. */
  readonly checkCancelled: () => void;
}

/** Runs every pass once a round. The first of a round is the next one each time, so that none always follows the same.
 * @returns seconds [passes, rounds], rounds from `repeats` to MOST_ROUNDS. */
export async function timeInTurn(
  passes: readonly (() => Promise<unknown>)[],
  { repeats, leastSeconds, now, checkCancelled }: TurnOptions,
): Promise<Float64Array[]> {
  const seconds: number[][] = passes.map(() => []);
  let total = 0;
  for (let round = -WARM_UPS; round < repeats || (total < leastSeconds && round < MOST_ROUNDS); round++) {
    for (let turn = 0; turn < passes.length; turn++) {
      const index = (turn + Math.max(0, round)) % passes.length;
      checkCancelled();
      const start = now();
      await passes[index]();
      const elapsed = (now() - start) / 1000;
      if (round < 0) continue;
      seconds[index].push(elapsed);
      total += elapsed;
    }
  }
  return seconds.map((own) => Float64Array.from(own));
}
