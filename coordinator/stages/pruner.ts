// How a job prunes: one interface over its two methods, the published one in stages and the gradual one in steps.
import type { Importance } from '../../pruning/fisher.ts';
import { type GridKind, pathTo } from '../../pruning/grid.ts';
import type { Masks } from '../../pruning/masks.ts';
import { bisectionOrder, type ShareOrder, walkOrder } from '../../pruning/smallest-share.ts';
import { EspalierError } from '../../shared/errors.ts';
import { gradualSettings } from '../gradual-settings.ts';
import type { Costs } from '../job/budget.ts';
import type { JobContext } from '../job/job-context.ts';
import type { PruneRequest } from '../prune-settings.ts';
import type { CostKind, MaskSearch, SplitSearch, Target } from './find-masks.ts';
import { storedFisher } from './fisher.ts';
import { StepRearrangement } from './gradual/rearrange-step.ts';
import { DenseModel, Trajectory } from './gradual/trajectory.ts';
import { type PrunedBudget, pruneToTarget } from './prune-budget.ts';
import { measuredPace } from './task-pace.ts';

export interface Pruner {
  /** Of the dense model. */
  readonly importance: Importance;
  /** Seconds that the published method's gradients took. */
  readonly fisherSeconds: number;
  /** Masks that are pruned to at a share of time, before anything is made of them. */
  masksAtTime(share: number): Promise<Masks>;
  prune(target: Target): Promise<PrunedBudget>;
  /** The same without any measuring on evaluation samples. */
  pruneUnmeasured(target: Target): Promise<PrunedBudget>;
  /** In which shares are tried where the smallest that does is sought. @param shares that may be tried, ascending. */
  orderOf(shares: readonly number[]): ShareOrder;
  close(): Promise<void>;
}

export interface PrunerParts {
  /** A search by time only where a budget asks for one. */
  readonly searches: { readonly macs: MaskSearch; readonly time: MaskSearch | null; readonly splits: SplitSearch };
  readonly costs: Costs;
  readonly settings: Pick<PruneRequest, 'method' | 'damping' | 'gradual'>;
  /** Folder of the plan's stages. */
  readonly prefix: string;
}

/** Computes the gradients that the method starts with, or takes them from the state. Whoever opened it closes it. */
export function openPruner(context: JobContext, parts: PrunerParts): Promise<Pruner> {
  return parts.settings.method === 'gradual' ? openGradual(context, parts) : openStaged(context, parts);
}

async function openStaged(context: JobContext, parts: PrunerParts): Promise<Pruner> {
  const { costs, settings, prefix } = parts;
  const fisher = await storedFisher(context, `${prefix}/fisher`);
  const prune = (own: JobContext) => (target: Target) =>
    pruneToTarget(own, fisher, searchOf(parts, target.cost), costs, target, settings);
  return {
    importance: fisher.importance,
    fisherSeconds: fisher.seconds,
    masksAtTime: async (share) => searchOf(parts, 'time')(share, fisher.importance),
    prune: prune(context),
    pruneUnmeasured: prune({ ...context, evaluation: null }),
    orderOf: bisectionOrder,
    close: () => fisher.close(),
  };
}

async function openGradual(context: JobContext, parts: PrunerParts): Promise<Pruner> {
  const { costs, prefix } = parts;
  const dense = new DenseModel(context, prefix);
  const settings = gradualSettings(parts.settings.gradual);
  const rearrangement = settings.rearrangeSteps === 'on' ? new StepRearrangement(context) : null;
  const shared = { costs, dense, prefix, settings, rearrangement, pace: measuredPace() };
  const splits = settings.split === 'divergence' ? parts.searches.splits : null;
  const trajectory = (cost: CostKind) =>
    new Trajectory(context, {
      cost,
      search: searchOf(parts, cost),
      splits: cost === 'macs' ? splits : null,
      ...shared,
    });
  const byCost = { macs: trajectory('macs'), time: parts.searches.time && trajectory('time') };
  const of = (cost: CostKind) => byCost[cost] ?? missing(cost);
  // No student on the way is measured: each step tells its divergence.
  const prune = ({ cost, fraction }: Target) => of(cost).prune(fraction);
  return {
    importance: (await dense.gradients()).importance,
    fisherSeconds: 0,
    masksAtTime: (share) => of('time').masks(share),
    prune,
    pruneUnmeasured: prune,
    orderOf: (shares) => gradualOrder(shares, settings.steps),
    close: async () => rearrangement?.close(),
  };
}

/** Down the steps that lead to the least share, each of which is made from the one before; where all are made from the dense
 * model, each costs the same. */
function gradualOrder(shares: readonly number[], kind: GridKind): ShareOrder {
  if (kind === 'one' || shares.length === 0) return bisectionOrder(shares);
  const { trunk, branch } = pathTo(shares[0], kind);
  return walkOrder(branch === null ? trunk : [...trunk, branch]);
}

function searchOf({ searches }: Pick<PrunerParts, 'searches'>, cost: CostKind): MaskSearch {
  return searches[cost] ?? missing(cost);
}

function missing(cost: CostKind): never {
  throw new EspalierError('internal', `search: got a target of ${cost}, expected one of the kinds of the job`);
}
