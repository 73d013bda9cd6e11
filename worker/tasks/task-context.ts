// What every task may use. Tasks are pure functions of their input; the context holds caches and devices, never results.
import type { Plan, Shard } from '../../dataset/plan.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { NamedTensor } from '../../shared/tensor.ts';
import type { Engine } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { Forward } from '../model/forward.ts';
import type { ModelCache } from '../model/model-cache.ts';
import type { TuningStates } from '../tuning/tuning-states.ts';

export interface TaskContext {
  readonly engine: Engine;
  readonly ops: Ops;
  readonly forward: Forward;
  readonly models: ModelCache;
  readonly states: TuningStates;
  /** @throws EspalierError "cancelled" when nobody waits for the task any more; called between layers
   * and between micro-batches. */
  checkCancelled(): void;
}

/** Takes tensors of a result whose task goes on: they are the callee's. */
export type OnPart = (tensors: readonly NamedTensor[]) => void;

/** Neighbouring shards, end excluded. */
export interface ShardRange {
  readonly first: number;
  readonly end: number;
}

/** The shards of a range. @throws EspalierError "protocol" when it is empty or leaves the plan. */
export function shardsOf(plan: Plan, { first, end }: ShardRange): readonly Shard[] {
  if (!(first >= 0 && first < end && end <= plan.shards.length))
    throw new EspalierError(
      'protocol',
      `shards: got ${first} to ${end}, expected a range within 0 to ${plan.shards.length}`,
    );
  return plan.shards.slice(first, end);
}
