// A trajectory of gradual pruning: students along the grid of shares (pruning/grid.ts), each made from the one before by fresh
// gradients, a search among what remains, rearrangement where it is asked for, removal, and a refit of every sub-layer; and
// branches to shares between. Everything is stored under the share that it belongs to, so that all budgets of a job, all
// candidates for an allowed loss and whoever goes on share it. Workers are asked for the gradients that the next step starts with as
// soon as for the outputs that a step's divergence is of: they compute while that is worked out here.
import { pathTo } from '../../../pruning/grid.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning.ts';
import type { GradualSettings } from '../../gradual-settings.ts';
import type { Costs } from '../../job/budget.ts';
import { type JobContext, resumedStage } from '../../job/job-context.ts';
import { maskedStudent, type Student } from '../../job/student.ts';
import type { GradualStepReport } from '../../prune-report.ts';
import { stepSettings } from '../../step-settings.ts';
import type { CostKind, MaskSearch, SplitSearch } from '../find-masks.ts';
import { maskStage, type PrunedBudget, studentSizes } from '../prune-budget.ts';
import type { TaskPace } from '../task-pace.ts';
import { tuneStage } from '../tune-stage.ts';
import { DenseOutputs, storedDivergence, tellOfLarge } from './divergence.ts';
import { type StudentGradients, storedGradients } from './gradients.ts';
import { patchesToFit } from './patches-to-fit.ts';
import type { StepRearrangement, StepStart } from './rearrange-step.ts';
import { type RefitInput, runRefit, withRefitted } from './refit.ts';
import { readRefit, storeRefit } from './refit-state.ts';
import {
  closestOf,
  type FoundMasks,
  headsOf,
  type RefittedStudent,
  secondsOf,
  splitsOf,
  type TriedStudent,
} from './tried-student.ts';

/** What all trajectories of a job share: what is known of the dense model. */
export class DenseModel {
  readonly student: Student;
  readonly outputs: DenseOutputs;
  readonly #gradients: () => Promise<StudentGradients>;
  #known: StudentGradients | null = null;

  /** @param prefix folder of the plan's stages. */
  constructor(context: JobContext, prefix: string) {
    const { layers, heads, intermediateSize } = context.checkpoint.config;
    this.student = maskedStudent(denseMasks(layers, heads, intermediateSize));
    this.outputs = new DenseOutputs(context);
    this.#gradients = () => storedGradients(context, this.student, { name: `${prefix}/gradual/gradients` });
  }

  async gradients(): Promise<StudentGradients> {
    this.#known ??= await this.#gradients();
    return this.#known;
  }
}

/** A student of the trajectory, and the step that made it. */
interface ReachedStudent {
  readonly student: Student;
  /** Of all steps that led to it. */
  readonly steps: readonly GradualStepReport[];
}

/** Where a step, or what it tries, is told of and stored. */
interface StepPlace {
  /** What events call it. */
  readonly step: string;
  readonly folder: string;
}

export interface TrajectoryParts {
  /** What its shares are of. */
  readonly cost: CostKind;
  readonly search: MaskSearch;
  readonly costs: Pick<Costs, 'tokens'>;
  readonly dense: DenseModel;
  readonly settings: GradualSettings;
  /** What a step tries, and keeps the one of the least divergence; null: what the search finds. */
  readonly splits: SplitSearch | null;
  /** null: what the search finds is kept. */
  readonly rearrangement: StepRearrangement | null;
  /** Left out: a worker that is alone refits one patch, or solves one sub-layer, a task. */
  readonly pace?: TaskPace;
  /** Folder of the plan's stages. */
  readonly prefix: string;
}

/** Once a call has thrown there is no use in another. */
export class Trajectory {
  readonly #context: JobContext;
  readonly #parts: TrajectoryParts;
  /** Ends what goes on beside a step that fails. */
  readonly #failed = new AbortController();
  readonly #reached = new Map<number, ReachedStudent>();
  readonly #gradients = new Map<number, Promise<StudentGradients>>();
  readonly #masks = new Map<string, FoundMasks>();

  constructor(context: JobContext, parts: TrajectoryParts) {
    this.#context = { ...context, signal: AbortSignal.any([context.signal, this.#failed.signal]) };
    this.#parts = parts;
  }

  /** The student of a share, in (0, 1], with all steps that led to it. */
  async prune(share: number): Promise<PrunedBudget> {
    const { student, steps } = await this.#whole(() => this.#reach(share, { isFollowed: false }));
    const { config } = this.#context.checkpoint;
    return {
      ...student,
      ...studentSizes(config, this.#parts.costs, student.masks),
      ...{ tuning: [], steps, before: {}, scores: {} },
      // What the steps took, they tell.
      seconds: { search: 0, rearrange: 0, tune: 0, evaluate: 0 },
    };
  }

  /** Masks of the student of a share, before it is refitted. */
  async masks(share: number): Promise<Masks> {
    return (await this.#whole(() => this.#found(share, this.#placeOf(share)))).value;
  }

  /** Returns, or throws, when no gradients are computed ahead any more. */
  async #whole<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (caught) {
      this.#failed.abort(caught);
      await Promise.allSettled(this.#gradients.values());
      throw caught;
    }
  }

  /** @param isFollowed a step starts there, of which gradients are asked for ahead. */
  async #reach(share: number, { isFollowed }: { readonly isFollowed: boolean }): Promise<ReachedStudent> {
    const known = this.#reached.get(share);
    if (known !== undefined) return known;
    const base = this.#baseOf(share);
    const from =
      base === null ? { student: this.#parts.dense.student, steps: [] } : await this.#reach(base, { isFollowed: true });
    const reached = await this.#step(from, share, isFollowed);
    this.#reached.set(share, reached);
    return reached;
  }

  async #step(from: ReachedStudent, share: number, isFollowed: boolean): Promise<ReachedStudent> {
    const { dense, costs } = this.#parts;
    const settings = stepSettings(this.#parts.settings, share);
    const gradients = await this.#gradientsAt(this.#baseOf(share));
    const tried: TriedStudent[] = [];
    for (const [place, masks] of await this.#candidates(share)) {
      const found = await this.#found(share, place, masks);
      const start: Student = { masks: found.value, patches: from.student.patches };
      const refit =
        settings.refit === 'scales'
          ? await this.#tune(place, found.value)
          : await this.#refit(place, { student: start, gradients, settings });
      const named = { step: place.step, name: this.#name(place, 'divergence') };
      const judge = (onAsked: () => void) =>
        storedDivergence(this.#context, dense.outputs, refit.student, { ...named, onAsked });
      // Of several students the step goes on with one that is not known yet.
      const divergence = await (isFollowed && !this.#isJudged
        ? this.#judgedBeside(share, refit.student, judge)
        : judge(() => {}));
      tried.push({ found, refit, divergence });
    }
    // Candidates come by falling importance: of equals the more important one.
    const best = closestOf(tried);
    const { student, reports } = best.refit;
    tellOfLarge(this.#context, this.#placeOf(share).step, best.divergence.value);
    const { heads, neurons, macs } = studentSizes(this.#context.checkpoint.config, costs, student.masks);
    const report: GradualStepReport = {
      ...{ share, macs, heads, neurons, divergence: best.divergence.value },
      ...(this.#isJudged && { splits: splitsOf(tried) }),
      seconds: { gradients: gradients.seconds, ...secondsOf(tried) },
      refits: reports,
    };
    return { student, steps: [...from.steps, report] };
  }

  /** Whether what a step keeps is judged by divergence: only where something judges. */
  get #isJudged(): boolean {
    const { plan } = this.#context.calibration;
    return this.#parts.splits !== null && plan.fitShards < plan.shards.length;
  }

  /** What a step tries, each with its masks; null: the search's. */
  async #candidates(share: number): Promise<[StepPlace, Masks | null][]> {
    const place = this.#placeOf(share);
    if (!this.#isJudged) return [[place, null]];
    const { student, importance } = await this.#startOf(share);
    return this.#parts.splits!(share, importance, student.masks).map((masks) => {
      const heads = headsOf(masks);
      return [{ step: `${place.step} heads ${heads}`, folder: `${place.folder}/heads-${heads}` }, masks];
    });
  }

  /** At the student of a share of the grid, or the dense one: all steps that start there share them. */
  async #gradientsAt(share: number | null): Promise<StudentGradients> {
    if (share === null) return this.#parts.dense.gradients();
    const { student } = await this.#reach(share, { isFollowed: true });
    const known = this.#gradients.get(share) ?? this.#askGradients(share, student);
    this.#gradients.set(share, known);
    return known;
  }

  #askGradients(share: number, student: Student, after?: Promise<unknown>): Promise<StudentGradients> {
    const place = this.#placeOf(share);
    const named = { step: place.step, name: this.#name(place, 'gradients') };
    return storedGradients(this.#context, student, { ...named, ...(after && { after }) });
  }

  /** What judges the student of a share, and behind it on the workers the gradients of the next step. */
  #judgedBeside<Judged>(
    share: number,
    student: Student,
    judge: (onAsked: () => void) => Promise<Judged>,
  ): Promise<Judged> {
    let onAsked = () => {};
    const asked = new Promise<void>((resolve) => {
      onAsked = resolve;
    });
    const judged = judge(onAsked);
    judged.then(onAsked, onAsked);
    const gradients = asked.then(() => this.#askGradients(share, student, judged));
    // Told to the step that starts with them.
    gradients.catch(() => {});
    this.#gradients.set(share, gradients);
    return judged;
  }

  /** @param masks null: the search's. */
  async #found(share: number, place: StepPlace, masks: Masks | null = null): Promise<FoundMasks> {
    const known = this.#masks.get(place.folder);
    if (known !== undefined) return known;
    const { search, rearrangement } = this.#parts;
    const start = await this.#startOf(share);
    const searched = await maskStage(
      this.#context,
      { stage: 'search', budget: place.step, name: this.#name(place, 'masks') },
      async () => masks ?? search(share, start.importance, start.student.masks),
    );
    const named = { step: place.step, name: this.#name(place, 'rearranged') };
    const rearranged = await rearrangement?.rearrange(searched.value, start, named);
    const found: FoundMasks = {
      value: (rearranged ?? searched).value,
      seconds: { search: searched.seconds, ...(rearranged && { rearrange: rearranged.seconds }) },
    };
    this.#masks.set(place.folder, found);
    return found;
  }

  async #startOf(share: number): Promise<StepStart> {
    const base = this.#baseOf(share);
    const { importance } = await this.#gradientsAt(base);
    const student = base === null ? this.#parts.dense.student : (await this.#reach(base, { isFollowed: true })).student;
    return { student, importance };
  }

  async #refit(place: StepPlace, input: Omit<RefitInput, 'resumed'>): Promise<RefittedStudent> {
    const context = this.#context;
    const { student: start, settings } = input;
    const { pace } = this.#parts;
    const name = this.#name(place, 'refit');
    const resumed = await readRefit(context, name, start, settings);
    let stored = resumed.refitted.length;
    const { value: refitted, seconds } = await resumedStage(context, 'refit', {
      ...{ name, budget: place.step },
      steps: patchesToFit(start.masks, context.checkpoint.config, settings).length,
      stored: { value: resumed.refitted, seconds: resumed.seconds, done: stored },
      run: (elapsed, progress) =>
        runRefit(
          context,
          { ...input, resumed: resumed.refitted, ...(pace && { pace }) },
          {
            async store(found) {
              await storeRefit(context, name, { refitted: found, seconds: elapsed() }, stored);
              stored = found.length;
            },
            progress,
          },
        ),
    });
    return {
      student: withRefitted(start, refitted),
      reports: refitted.flatMap((found) => found.reports),
      seconds,
    };
  }

  // The paper's tuning in the refit's place, to the dense model's outputs. Scales of the step before are forgotten: damping pulls
  // towards 1.
  async #tune(place: StepPlace, student: Masks): Promise<RefittedStudent> {
    const { pace } = this.#parts;
    const { value, seconds } = await tuneStage(this.#context, {
      ...{ teacher: this.#parts.dense.student.masks, student, settings: DEFAULT_TUNING_SETTINGS },
      ...{ budget: place.step, name: this.#name(place, 'tune') },
      ...(pace && { pace }),
    });
    return { student: maskedStudent(value.masks), reports: value.reports, seconds };
  }

  /** The share of the grid that the step to this one starts from; null: the dense model. */
  #baseOf(share: number): number | null {
    const { trunk, branch } = pathTo(share, this.#parts.settings.steps);
    return trunk.at(branch === null ? -2 : -1) ?? null;
  }

  #placeOf(share: number): StepPlace {
    return { step: this.#parts.cost === 'time' ? `time ${share}` : `${share}`, folder: `${share}` };
  }

  #name({ folder }: StepPlace, stage: string): string {
    return `${this.#parts.prefix}/gradual-${this.#parts.cost}/${folder}/${stage}`;
  }
}
