// Which worker has the newest hidden states of each shard, as far as is known here: what a task of mid-tuning leaves
// there. Only a hint: a worker may have dropped them.
import type { RunRequestBody } from '../../shared/rpc/protocol.ts';

/** Neighbouring shards, end excluded. */
export interface ShardSpan {
  readonly first: number;
  readonly end: number;
}

type Request = Omit<RunRequestBody, 'taskId'>;

export class TuningHolders {
  readonly #addressOf = new Map<number, string>();

  /** A worker has done this task. */
  note(request: Request, address: string): void {
    for (const { first, end } of spansOf(request))
      for (let shard = first; shard < end; shard += 1) this.#addressOf.set(shard, address);
  }

  /** Who has the shards of a task, in order, neighbours with the same worker together; those that nobody has are left
   * out. */
  holdersOf(request: Request): { shards: ShardSpan; address: string }[] {
    const held: { shards: ShardSpan; address: string }[] = [];
    for (const { first, end } of spansOf(request))
      for (let shard = first; shard < end; shard += 1) {
        const address = this.#addressOf.get(shard);
        if (address === undefined) continue;
        const last = held.at(-1);
        if (last?.address === address && last.shards.end === shard)
          held[held.length - 1] = { address, shards: { first: last.shards.first, end: shard + 1 } };
        else held.push({ address, shards: { first: shard, end: shard + 1 } });
      }
    return held;
  }
}

function spansOf({ normalEquations, solve }: Request): ShardSpan[] {
  const sources = [solve?.fit, solve?.heldOut];
  // Sums that came need no states.
  const nodes = sources.flatMap((source) => source?.nodes?.nodes ?? []).filter(({ sums }) => !sums);
  const ranges = [
    normalEquations?.shards,
    ...sources.map((source) => source?.shards),
    ...nodes.map(({ shards }) => shards),
  ];
  return ranges.flatMap((range) => (range ? [{ first: range.first ?? 0, end: range.end ?? 0 }] : []));
}
