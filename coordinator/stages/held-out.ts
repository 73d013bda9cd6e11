// Which of the drawn samples judge what a pruned model loses, and so take part in nothing that it is made from.
import { createHash } from 'node:crypto';
import type { DrawnSample } from '../../dataset/row-encoder.ts';
import { randomStream } from '../../pruning/random.ts';
import { EspalierError } from '../../shared/errors.ts';

/** Part of the distinct drawn examples that judges. */
const HELD_OUT = 0.25;
/** Fewer would tell nothing: one of them would be more than 6 % of a metric. */
export const LEAST_HELD_OUT = 16;

export interface HeldOutSplit {
  /** What the model is pruned with, in drawn order, repeats included. */
  readonly fitted: readonly DrawnSample[];
  /** What judges, in drawn order, every example once with all its windows. */
  readonly heldOut: readonly DrawnSample[];
  /** Rows among `heldOut`. */
  readonly examples: number;
}

/** Takes a quarter of the distinct drawn rows out, at random by seed. A row is on one side with all its windows and
 * repeats, and so are rows whose texts are the same to the model.
 * @param mayBeCut true where the row that was drawn last may lack windows: it then judges nothing.
 * @throws EspalierError "usage" where fewer than LEAST_HELD_OUT rows would judge. */
export function splitHeldOut(
  drawn: readonly DrawnSample[],
  { seed, mayBeCut }: { readonly seed: number; readonly mayBeCut: boolean },
): HeldOutSplit {
  const byRow = new Map<number, DrawnSample[]>();
  for (const sample of drawn) {
    const own = byRow.get(sample.row);
    if (own === undefined) byRow.set(sample.row, [sample]);
    else if (own[0].draw === sample.draw) own.push(sample);
  }
  const alike = new Map<string, number[]>();
  for (const [row, samples] of byRow) {
    const key = contentOf(samples);
    alike.set(key, [...(alike.get(key) ?? []), row]);
  }
  const groups = [...alike.values()];
  const wanted = Math.round(byRow.size * HELD_OUT);
  const judging = new Set<number>();
  for (const group of randomStream(seed, 'held-out').permutation(groups.length)) {
    const rows = groups[group];
    if (mayBeCut && rows.includes(drawn[drawn.length - 1].row)) continue;
    if (judging.size + rows.length <= wanted) for (const row of rows) judging.add(row);
  }
  if (judging.size < LEAST_HELD_OUT)
    throw new EspalierError(
      'usage',
      `max-drop: got ${byRow.size} distinct samples, of which ${judging.size} could judge, ` +
        `expected at least ${LEAST_HELD_OUT / HELD_OUT}, a quarter of which judges`,
      { action: 'draw more with --samples, or give more data' },
    );
  return {
    fitted: drawn.filter(({ row }) => !judging.has(row)),
    heldOut: [...byRow].filter(([row]) => judging.has(row)).flatMap(([, samples]) => samples),
    examples: judging.size,
  };
}

/** What the model sees of a row. */
function contentOf(samples: readonly DrawnSample[]): string {
  const hash = createHash('sha256');
  for (const { sample } of samples)
    hash.update(Int32Array.of(sample.tokenIds.length)).update(sample.tokenIds).update(sample.typeIds);
  return hash.digest('base64');
}
