// Which worker has the newest hidden states of each shard, as far as is known here: what a task of mid-tuning leaves
// there. Only a hint: a worker may have dropped them.
import type { RunRequestBody } from '../../shared/rpc/protocol.ts';

interface Span {
  readonly first: number;
  readonly end: number;
}

export class TuningHolders {
  readonly #addressOf = new Map<number, string>();

  /** A worker has done this task. */
  note(request: Omit<RunRequestBody, 'taskId'>, address: string): void {
    for (const { first, end } of spansOf(request))
      for (let shard = first; shard < end; shard += 1) this.#addressOf.set(shard, address);
  }

  /** The one worker that has all shards of a task; null where there is none. */
  holderOf(request: Omit<RunRequestBody, 'taskId'>): string | null {
    const addresses = new Set<string | undefined>();
    for (const { first, end } of spansOf(request))
      for (let shard = first; shard < end; shard += 1) addresses.add(this.#addressOf.get(shard));
    const [only] = addresses;
    return addresses.size === 1 ? (only ?? null) : null;
  }
}

function spansOf({ normalEquations, solve }: Omit<RunRequestBody, 'taskId'>): Span[] {
  const ranges = [normalEquations?.shards, solve?.fit?.shards, solve?.heldOut?.shards];
  return ranges.flatMap((range) => (range ? [{ first: range.first ?? 0, end: range.end ?? 0 }] : []));
}
