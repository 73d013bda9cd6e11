// Over how many of its workers a job should cut a sub-layer of tuning, or of a refit. More workers share the computing; but
// the partial sums of each but the one that solves come through this coordinator and are folded here, one after the other. Only
// time is at stake: the cut does not change the result.
import type { RunRequestBody } from '../../shared/rpc/protocol.ts';
import { hiddenSizeOf, layersOf } from './model-sizes.ts';
import type { TaskSpec } from './task-spec.ts';

/** Tasks of Fisher, or of gradients, pass three times through all layers of the model; a sub-layer takes two halves of one, of
 * a smaller model, and its products of features: of a model with twelve layers a twentieth. */
const SUB_LAYERS_PER_LAYER = 20 / 12;
const USUAL_LAYERS = 12;
/** Of a share's sums, counted as one node's (tree-shares.ts cuts few): by the square of the hidden size, the mean of attention
 * and FFN at half of the usual four times hidden size neurons, in float64: of scales the upper part of a matrix, 20 in an FFN
 * and next to nothing in attention; of a refit the right sides, too, 36 and 5. */
const BYTES_PER_SHARE = { scales: 10, refit: 20 };

/** To a coordinator on an idle machine and from it to the worker that solves, as hand-over.ts has it. */
const FIRST_GUESS_MS_PER_BYTE = 1000 / 1.5e8;
/** How far the newest step counts: a long one tells of all else that kept machines busy, too, a short one of the sums alone. */
const NEWEST_SHARE = { lower: 0.3, higher: 0.1 };

/** What sums cost on their way through this coordinator, with all that it does beside: learned from what it took. */
export class FoldCost {
  #msPerByte = FIRST_GUESS_MS_PER_BYTE;

  get msPerByte(): number {
    return this.#msPerByte;
  }

  learn(msPerByte: number): void {
    const beyond = Math.max(msPerByte, 0) - this.#msPerByte;
    this.#msPerByte += (beyond < 0 ? NEWEST_SHARE.lower : NEWEST_SHARE.higher) * beyond;
  }
}

type Request = Omit<RunRequestBody, 'taskId'>;

interface SpreadStep {
  readonly beganMs: number;
  readonly workers: number;
}

export class TuningSpread {
  readonly #cost: FoldCost;
  #fisherTasks = 0;
  #leastFisherMs = Number.POSITIVE_INFINITY;
  #bytesPerShare = 0;
  #layers = USUAL_LAYERS;
  /** The least that a sub-layer of each kind took that one worker solved in place: a coordinator that is behind sees late
   * what was done soon. */
  readonly #leastMs = new Map<string, number>();
  /** The same of what one worker solves from sums: no other can share it. */
  readonly #leastSolveMs = new Map<string, number>();
  #step: SpreadStep | null = null;

  constructor(cost: FoldCost) {
    this.#cost = cost;
  }

  /** Tasks of the job begin to wait, those of one kind together. */
  began(tasks: readonly Pick<TaskSpec, 'request' | 'affinity'>[], nowMs: number): void {
    const { fisher, normalEquations, solve, gradients, refitEquations, refit } = tasks[0]?.request ?? {};
    const scales = (fisher ?? normalEquations ?? solve)?.model;
    const refitted = (gradients ?? refitEquations ?? refit)?.model;
    const model = scales ?? refitted;
    if (this.#bytesPerShare === 0 && model) {
      const configJson = model.configJson ?? '';
      this.#bytesPerShare = BYTES_PER_SHARE[scales ? 'scales' : 'refit'] * hiddenSizeOf(configJson) ** 2;
      this.#layers = layersOf(configJson) || USUAL_LAYERS;
    }
    // Gradients come again with each step of a trajectory, of smaller students: the last pass counts.
    if (fisher ?? gradients) [this.#fisherTasks, this.#leastFisherMs] = [0, Number.POSITIVE_INFINITY];
    if (normalEquations ?? refitEquations)
      this.#step = {
        beganMs: nowMs,
        workers: new Set(tasks.map(({ affinity }) => affinity)).size,
      };
  }

  /** A task of the job was done. */
  done({ fisher, gradients, solve, refit }: Request, ms: number, nowMs: number): void {
    if (fisher ?? gradients) {
      this.#fisherTasks += 1;
      this.#leastFisherMs = Math.min(this.#leastFisherMs, ms);
    }
    const solved = solve ?? refit;
    // Several of them tell nothing of one.
    if (!solved?.fit || (solved.next?.length ?? 0) > 0) return;
    const least = solved.fit.shards ? this.#leastMs : this.#leastSolveMs;
    const subLayer = solved.subLayer ?? '';
    least.set(subLayer, Math.min(least.get(subLayer) ?? ms, ms));
    if (this.#step !== null) this.#folded(this.#step, nowMs - ms);
  }

  /** A task of the step takes hidden states along: how long the step takes tells nothing of the next ones. */
  statesMove(): void {
    this.#step = null;
  }

  /** At most `home`, at least 1. */
  workers(home: number): number {
    const sumMs = this.#sumMs;
    const shareMs = this.#bytesPerShare * this.#cost.msPerByte;
    if (shareMs === 0) return Math.max(1, home);
    const together = (count: number) => sumMs / count + (count - 1) * shareMs;
    let best = 1;
    for (let count = 2; count <= home; count += 1) if (together(count) < together(best)) best = count;
    return best;
  }

  /** What summing a sub-layer takes one worker. */
  get #sumMs(): number {
    const sums = [...this.#leastMs].map(([subLayer, ms]) => ms - (this.#leastSolveMs.get(subLayer) ?? 0));
    if (sums.length > 0) return Math.max(0, ...sums);
    return this.#fisherTasks === 0
      ? 0
      : (this.#fisherTasks * this.#leastFisherMs) / (SUB_LAYERS_PER_LAYER * this.#layers);
  }

  /** The sums of a step were with the worker that solved: what took longer than its share of computing was folding, the way there,
   * and waiting for both. What its tasks took does not tell, since that holds their results' way through this coordinator, too. */
  #folded({ beganMs, workers }: SpreadStep, solvesSinceMs: number): void {
    this.#step = null;
    const beyondMs = solvesSinceMs - beganMs - this.#sumMs / workers;
    if (this.#bytesPerShare > 0 && workers > 1) this.#cost.learn(beyondMs / (workers - 1) / this.#bytesPerShare);
  }
}
