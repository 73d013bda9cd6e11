// Trajectories over made-up workers (gradual-world.ts), each in a folder of its own or going on in that of an earlier one.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { type GradualSettings, gradualSettings } from '../../coordinator/gradual-settings.ts';
import { modelCosts } from '../../coordinator/job/budget.ts';
import { type MaskSearch, macsSearch, macsSplits } from '../../coordinator/stages/find-masks.ts';
import { StepRearrangement } from '../../coordinator/stages/gradual/rearrange-step.ts';
import { DenseModel, Trajectory } from '../../coordinator/stages/gradual/trajectory.ts';
import type { PrunedBudget } from '../../coordinator/stages/prune-budget.ts';
import { type GradualWorld, gradualWorld } from './gradual-world.ts';

export interface TrajectoryWorld extends GradualWorld {
  readonly trajectory: Trajectory;
  readonly search: MaskSearch;
  /** null where steps do not rearrange. */
  readonly rearrangement: StepRearrangement | null;
  readonly totalMacs: number;
}

export interface TrajectoryOptions extends NonNullable<Parameters<typeof gradualWorld>[1]> {
  /** The folder of an earlier run; left out: a new one. */
  readonly at?: string;
  readonly gradual?: Partial<GradualSettings>;
}

const SIZES = { layers: 2, heads: 4, headSize: 2, intermediateSize: 40 };

/** Opens trajectories in a folder that is there while the tests of this file run. @param name of the folder. */
export function trajectoryWorlds(name: string) {
  let folder = '';
  let folders = 0;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), `espalier-${name}-`));
  });
  after(() => rm(folder, { recursive: true, force: true }));
  return {
    /** Where a test may keep what it goes on with. */
    at: (part: string) => path.join(folder, part),
    open({ at, gradual, config, ...options }: TrajectoryOptions = {}): TrajectoryWorld {
      const world = gradualWorld(at ?? path.join(folder, `${folders++}`), {
        ...{ config: { ...SIZES, ...config }, workers: 1 },
        ...options,
      });
      const searched = { search: 'paper', neuronMultiple: 1 } as const;
      const model = world.context.checkpoint.config;
      const costs = modelCosts(model, 5, { budgets: [], ...searched });
      const settings = gradualSettings(gradual);
      const search = macsSearch(model, costs, searched);
      const rearrangement = settings.rearrangeSteps === 'on' ? new StepRearrangement(world.context) : null;
      const trajectory = new Trajectory(world.context, {
        ...{ cost: 'macs', search, costs, settings, rearrangement, prefix: 'plan' },
        splits: settings.split === 'divergence' ? macsSplits(model, costs) : null,
        dense: new DenseModel(world.context, 'plan'),
      });
      return { ...world, trajectory, search, rearrangement, totalMacs: costs.totalMacs };
    },
  };
}

/** What of a result may not depend on how it came about. */
export function resultOf({ masks, patches, steps, macs }: PrunedBudget) {
  return {
    masks,
    patches: patches.map(({ layer, subLayer, source }) => [layer, subLayer, source.digest]),
    steps: steps!.map(({ seconds, ...step }) => step),
    macs,
  };
}
