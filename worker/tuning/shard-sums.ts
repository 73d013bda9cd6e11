// The sums of a shard's positions, as products of many of them: stretches wait until there are enough.
import type { DeviceTensor, Engine } from '../engine/engine.ts';
import type { Ops } from '../engine/ops.ts';
import type { TaskContext } from '../tasks/task-context.ts';
import { addSums, type DeviceSums, releaseSums, sumTensors } from './device-sums.ts';
import type { StatesOfShard } from './given-states.ts';
import { SUM_PRECISION } from './precision.ts';
import { stretchesOf } from './stretch.ts';
import type { StatesPair } from './tuning-pair.ts';
import type { Ahead, StretchState } from './tuning-states.ts';

/** Positions that one float32 product sums over, at least: fewer would cost more in additions of float64 sums, more
 * would lose digits. Part of what makes results equal, like the plan. */
const PRODUCT_POSITIONS = 2048;

/** Positions of a stretch that count. */
export interface Observations {
  /** Student's features, [positions, features]. */
  readonly x: DeviceTensor;
  /** What they should add up to, [positions, D]. */
  readonly r: DeviceTensor;
}

/** Sums over a shard before sub-layer `step`. They belong to the scope that is open, or to nobody.
 * @param observe what counts of a stretch, and what it has computed of the way to the next sub-layer. It runs in a scope of its own.
 * @param sum of observations; tensors of the scope that is open.
 * @param given states to start from where none are kept. */
export function shardSums(
  { engine, forward, ops, states, checkCancelled }: TaskContext,
  {
    pair,
    step,
    shard,
    given,
  }: {
    readonly pair: StatesPair;
    readonly step: number;
    readonly shard: number;
    readonly given?: StatesOfShard | undefined;
  },
  observe: (state: StretchState) => { observations: Observations; ahead: Ahead | null },
  sum: (observations: Observations) => DeviceSums,
): DeviceSums {
  const waiting: Observations[] = [];
  const totals: DeviceSums[] = [];
  let stretches = stretchesOf(pair.plan, shard).length;
  const add = (observations: readonly Observations[]) => {
    const sums = engine.scope(() => {
      const found = engine.withPrecision(SUM_PRECISION, () => sum(joined(ops, observations)));
      return totals.length === 0 ? found : addSums(forward, totals[0], found);
    });
    engine.keep(sumTensors(sums));
    for (const before of totals.splice(0, 1, sums)) releaseSums(engine, before);
    releaseObservations(engine, waiting.splice(0));
  };
  try {
    const use = (state: StretchState) => {
      checkCancelled();
      const { observations, ahead } = observe(state);
      stretches -= 1;
      const all = [...waiting, observations];
      const positions = all.reduce((count, { x }) => count + x.shape[0], 0);
      if (stretches === 0 || positions >= PRODUCT_POSITIONS) add(all);
      else waiting.push(ownObservations(ops, observations, ahead));
      return ahead;
    };
    states.visit(pair, shard, step, use, given);
    return totals.splice(0)[0];
  } finally {
    for (const sums of totals) releaseSums(engine, sums);
    releaseObservations(engine, waiting);
  }
}

function joined(ops: Ops, waiting: readonly Observations[]): Observations {
  const all = (part: (observations: Observations) => DeviceTensor) => ops.concat(waiting.map(part), 0);
  return { x: all(({ x }) => x), r: all(({ r }) => r) };
}

/** Observations that outlive every open scope. A tensor has one owner: features that go ahead are copied. */
function ownObservations(ops: Ops, { x, r }: Observations, ahead: Ahead | null): Observations {
  const own = { x: ahead?.features === x ? ops.copy(x) : x, r };
  ops.engine.keep([own.x, own.r]);
  return own;
}

function releaseObservations(engine: Engine, observations: readonly Observations[]): void {
  for (const { x, r } of observations) for (const tensor of [x, r]) engine.dispose(tensor);
}
