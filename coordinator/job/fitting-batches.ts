// Out of memory replans a whole job with half the tokens a batch: batches are part of the plan, so that results stay the
// same wherever a task runs.
import { EspalierError } from '../../shared/errors.ts';
import type { JobEvent } from '../job-events.ts';

/** Padded tokens of a micro-batch at the least. Fewer would not help: one long sample needs as much. */
export const LEAST_TOKENS_PER_BATCH = 128;

/** Runs a job with `tokensPerBatch`, and again with half of it each time that a worker runs out of memory.
 * @throws EspalierError of the last run, "out_of_memory" where halving cannot help any more. */
export async function withFittingBatches<T>(
  tokensPerBatch: number,
  emit: (event: JobEvent) => void,
  run: (tokensPerBatch: number) => Promise<T>,
): Promise<T> {
  for (let limit = tokensPerBatch; ; limit = Math.floor(limit / 2)) {
    try {
      return await run(limit);
    } catch (caught) {
      if (!(caught instanceof EspalierError && caught.code === 'out_of_memory') || limit / 2 < LEAST_TOKENS_PER_BATCH)
        throw caught;
      emit({
        kind: 'notice',
        text: `out of memory with ${limit} tokens a batch: planning again with ${Math.floor(limit / 2)}`,
      });
    }
  }
}
