// The smallest or fastest model whose loss of the task's metric is within what is allowed: candidates at shares of MACs
// or time, each pruned as a budget is, and judged on samples that took part in none of it. Every candidate and its judgement
// are stored, so that a job that goes on tries none again.

import { type DropBound, RESAMPLES } from '../../pruning/drop-bound.ts';
import type { Masks } from '../../pruning/masks.ts';
import { type ShareOrder, smallestPassing } from '../../pruning/smallest-share.ts';
import { EspalierError } from '../../shared/errors.ts';
import type { Costs } from '../job/budget.ts';
import { type HeldOut, type JobContext, type PlannedSamples, storedStage } from '../job/job-context.ts';
import type { ModelBlobs } from '../job/model-blobs.ts';
import type { Student } from '../job/student.ts';
import type { DropReport, MaxDropReport } from '../prune-report.ts';
import type { Budget, PruneRequest } from '../prune-settings.ts';
import { modelOutputs } from './evaluate.ts';
import { exportBudget, type MeasuredBudget } from './export.ts';
import { type CostKind, stagesOf, type Target } from './find-masks.ts';
import { type PrunedBudget, stageQuality } from './prune-budget.ts';
import type { QualityStage } from './quality.ts';

/** Confidence of the bounds that are told where the estimate decides. */
const TOLD_CONFIDENCE = 0.95;
/** A drop of one example in a hundred comes out a little above 0.01. */
const ROUNDING = 1e-9;

export interface DropSearch {
  readonly costs: Costs;
  /** What shares are of: MACs for the smallest model, the dense model's time for the fastest. */
  readonly over: CostKind;
  /** Prunes to a candidate's target as to that of a budget, but measures nothing on evaluation samples. */
  readonly prune: (target: Target) => Promise<PrunedBudget>;
  /** In which shares are tried, as the method makes candidates. */
  readonly order: ShareOrder;
  readonly heldOut: HeldOut & PlannedSamples;
  readonly settings: Pick<PruneRequest, 'dtype' | 'onnx' | 'search' | 'maxDropConfidence'>;
  /** Of the job's plan. */
  readonly prefix: string;
}

interface Candidate {
  readonly share: number;
  readonly target: Target;
  readonly result: PrunedBudget;
  readonly judged: DropBound;
  readonly seconds: number;
}

/** Candidates of one job, each made once for all that it allows. What is found for one does not depend on the others. */
export class DropCandidates {
  readonly #context: JobContext;
  readonly #parts: DropSearch;
  readonly #tried = new Map<number, Candidate>();
  #dense: readonly Float32Array[] | null = null;

  constructor(context: JobContext, parts: DropSearch) {
    this.#context = context;
    this.#parts = parts;
  }

  /** Finds the smallest share whose model loses no more than the budget allows, and writes that model.
   * @throws EspalierError "drop_exceeded" where not even the largest share does, or the dense model's metric is 0. */
  async smallestWithin(budget: Budget): Promise<MeasuredBudget> {
    const passed = new Map<number, boolean>();
    const tried: Candidate[] = [];
    const take = (candidate: Candidate) => {
      tried.push(candidate);
      passed.set(candidate.share, this.#isWithin(budget, candidate.judged));
    };
    const { order } = this.#parts;
    for (;;) {
      for (let share = order.next(passed); share !== null; share = order.next(passed)) {
        const known = this.#tried.get(share);
        const candidate = known ?? (await this.#candidate(share));
        this.#requireScore(candidate.judged);
        take(candidate);
        if (known === undefined) this.#tell(budget, share, candidate.judged);
      }
      const best = smallestPassing(passed);
      if (best === null) throw this.#noneWithin(budget, tried);
      const chosen = tried.find(({ share }) => share === best)!;
      const { measured, written } = await this.#write(budget, chosen, tried);
      if (this.#isWithin(budget, written))
        return { ...measured, maxDrop: this.#report(budget, tried, chosen, written) };
      // What is promised is promised of the files: the type of their weights can cost what was left.
      this.#tell(budget, best, written, ' as written');
      passed.set(best, false);
    }
  }

  /** Of each bound, so that the choice among all candidates has the confidence that was asked for (Bonferroni). */
  get #boundConfidence(): number {
    const { settings, order } = this.#parts;
    const asked = settings.maxDropConfidence ?? null;
    return asked === null ? TOLD_CONFIDENCE : 1 - (1 - asked) / order.errorParts;
  }

  #isWithin({ value: allowed }: Budget, judged: DropBound): boolean {
    return this.#deciding(judged) <= allowed + ROUNDING;
  }

  #deciding({ drop, bound }: DropBound): number {
    return (this.#parts.settings.maxDropConfidence ?? null) === null ? drop : bound;
  }

  async #candidate(share: number): Promise<Candidate> {
    const { prune, prefix, over } = this.#parts;
    const stages = stagesOf(prefix, over === 'time' ? { kind: 'time', value: share } : { value: share });
    const target: Target = {
      text: over === 'time' ? `time ${share}` : `${share}`,
      cost: over,
      fraction: share,
      stages,
    };
    const result = await prune(target);
    const { model } = this.#context;
    const judged = await this.#judge(model, result, `${stages}/held-out`, target.text);
    const candidate = { share, target, result, judged: judged.value, seconds: judged.seconds };
    this.#tried.set(share, candidate);
    return candidate;
  }

  async #judge(model: ModelBlobs, student: Student | null, name: string, budget: string) {
    const context = this.#context;
    const { heldOut } = this.#parts;
    const judged = await storedStage<DropBound>(context, 'evaluate', {
      ...{ name, budget, steps: heldOut.plan.shards.length },
      read: () => context.home.readJson<{ value: DropBound; seconds: number }>(name),
      run: async (progress) => {
        this.#dense ??= await modelOutputs(context, context.model, null, heldOut);
        const pruned = await modelOutputs(context, model, student, heldOut, { progress });
        return heldOut.judge({ dense: this.#dense, pruned }, this.#boundConfidence);
      },
      write: (value, seconds) => context.home.writeJson(name, { value, seconds }),
    });
    // What is told of it is not judged again.
    await context.behind?.written(name);
    return judged;
  }

  async #write(budget: Budget, { share, target, result }: Candidate, tried: readonly Candidate[]) {
    const context = this.#context;
    const stages = `${stagesOf(this.#parts.prefix, budget)}/at-${share}`;
    const scores = { ...result.scores };
    const seconds = secondsOf(tried);
    for (const [stage, masks] of Object.entries(result.before) as [QualityStage, Masks][]) {
      if (context.evaluation === null) break;
      const found = await stageQuality(context, target, stage, masks);
      scores[stage] = found.value;
      seconds.evaluate += found.seconds;
    }
    let written: DropBound | null = null;
    const found = { budget, result: { ...result, scores, seconds } };
    const name = `${stages}/quality-result`;
    const measured = await exportBudget(context, found, this.#parts.settings, name, async (model) => {
      const judged = await this.#judge(model, null, `${stages}/held-out`, budget.text);
      written = judged.value;
      seconds.evaluate += judged.seconds;
    });
    return { measured, written: written! as DropBound };
  }

  #report(budget: Budget, tried: readonly Candidate[], chosen: Candidate, written: DropBound): MaxDropReport {
    const { heldOut, settings, over, costs } = this.#parts;
    const confidence = settings.maxDropConfidence ?? null;
    const told = ({ share, result }: Candidate, judged: DropBound): DropReport => ({
      ...(over === 'time' ? { macs: result.macs / costs.totalMacs, time: share } : { macs: share }),
      score: judged.pruned,
      drop: judged.drop,
      bound: judged.bound,
      within: this.#isWithin(budget, judged),
    });
    return {
      allowed: budget.value,
      metric: heldOut.metric,
      decidedBy: confidence === null ? 'estimate' : 'bound',
      confidence,
      boundConfidence: this.#boundConfidence,
      resamples: RESAMPLES,
      heldOut: { examples: heldOut.examples, samples: heldOut.samples.length },
      dense: written.dense,
      candidates: tried.map((candidate) => told(candidate, candidate.judged)),
      written: told(chosen, written),
    };
  }

  /** A model that has nothing to lose would be pruned to nothing. */
  #requireScore({ dense }: DropBound): void {
    if (dense > 0) return;
    const { metric, examples } = this.#parts.heldOut;
    throw new EspalierError(
      'drop_exceeded',
      `max-drop: got a dense model with ${metric} ${shown(dense)} on ${examples} held-out samples, expected more than 0`,
      { action: 'check that the labels are those that the model was fine-tuned on, or choose another --metric' },
    );
  }

  #tell(budget: Budget, share: number, judged: DropBound, as = ''): void {
    const is = this.#isWithin(budget, judged) ? 'within' : 'too much';
    this.#context.emit({
      kind: 'notice',
      text: `${budget.text}: ${share} of the ${this.#unit}${as} ${this.#loss(judged)}: ${is}`,
    });
  }

  get #unit(): string {
    return this.#parts.over === 'time' ? "dense model's time" : 'MACs';
  }

  #loss({ dense, pruned, drop, bound }: DropBound): string {
    const sure = `${Number((100 * this.#boundConfidence).toFixed(2))} %`;
    const { metric } = this.#parts.heldOut;
    return `loses ${shown(drop)} of ${metric} (${shown(dense)} to ${shown(pruned)}; ${sure} sure: at most ${shown(bound)})`;
  }

  #noneWithin(budget: Budget, tried: readonly Candidate[]): EspalierError {
    if (tried.length === 0)
      return new EspalierError(
        'drop_exceeded',
        `${budget.text}: got no share of the ${this.#unit} in hundredths below 1 that keeps a unit, expected one to try`,
      );
    const deciding = ({ judged }: Candidate) => this.#deciding(judged);
    const best = tried.reduce((least, own) => (deciding(own) < deciding(least) ? own : least));
    return new EspalierError(
      'drop_exceeded',
      `${budget.text}: got no model within it; the best, ${best.share} of the ${this.#unit}, ${this.#loss(best.judged)}`,
    );
  }
}

/** What finding the model took. */
function secondsOf(tried: readonly Candidate[]): { -readonly [Stage in keyof PrunedBudget['seconds']]: number } {
  const all = { search: 0, rearrange: 0, tune: 0, evaluate: 0 };
  for (const { result, seconds } of tried) {
    for (const stage of ['search', 'rearrange', 'tune'] as const) all[stage] += result.seconds[stage];
    all.evaluate += seconds;
  }
  return all;
}

function shown(value: number): string {
  return value.toFixed(4);
}
