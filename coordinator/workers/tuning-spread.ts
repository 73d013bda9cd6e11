// Over how many of its workers a job should cut a sub-layer of tuning. More workers share the computing; but the partial
// sums of each come through this coordinator and are folded here, one after the other. Only time is at stake: the cut
// does not change the result.
import type { RunRequestBody } from '../../shared/rpc/protocol.ts';
import { hiddenSizeOf } from './hidden-size.ts';

/** Partial sums that one coordinator reads, checks and folds (docs/adr/0014-fleet-scheduling.md). */
const FOLDED_BYTES_PER_SECOND = 3e8;
/** As tune.ts cuts the tree. */
const NODES_PER_WORKER = 2;
/** Tasks of Fisher pass three times through all layers of the dense model; a sub-layer of tuning takes two halves of one,
 * of a smaller model, and its products of features. */
const FISHER_PER_SUB_LAYER = 20;

export class TuningSpread {
  #fisherMs = 0;
  #bytesPerNode = 0;
  /** What the last whole sub-layer took, of all its workers together. */
  #lastMs: number | null = null;
  #step = '';
  #stepMs = 0;

  /** A task of the job was done. */
  note({ fisher, solve, normalEquations }: Omit<RunRequestBody, 'taskId'>, ms: number): void {
    if (fisher) this.#fisherMs += ms;
    if (solve?.fit?.shards) this.#lastMs = ms;
    if (!normalEquations) return;
    const step = `${normalEquations.layer} ${normalEquations.subLayer}`;
    if (step !== this.#step && this.#stepMs > 0) this.#lastMs = this.#stepMs;
    if (step !== this.#step) this.#stepMs = 0;
    this.#step = step;
    this.#stepMs += ms;
  }

  /** What its tasks name: the size of a partial sum follows from the width of the model. */
  seen({ fisher, solve }: Omit<RunRequestBody, 'taskId'>): void {
    const model = fisher?.model ?? solve?.model;
    if (this.#bytesPerNode > 0 || !model) return;
    // Half of the usual four times hidden size neurons: a triangle of n² and n · hidden size, in float64; attention's are
    // a fifth of that.
    this.#bytesPerNode = 20 * hiddenSizeOf(model.configJson ?? '') ** 2;
  }

  /** At most `home`, at least 1. */
  workers(home: number): number {
    const wholeMs = this.#lastMs ?? this.#fisherMs / FISHER_PER_SUB_LAYER;
    const nodeMs = (this.#bytesPerNode / FOLDED_BYTES_PER_SECOND) * 1000;
    if (nodeMs === 0) return Math.max(1, home);
    const together = (count: number) => wholeMs / count + (count > 1 ? count * NODES_PER_WORKER * nodeMs : 0);
    let best = 1;
    for (let count = 2; count <= home; count += 1) if (together(count) < together(best)) best = count;
    return best;
  }
}
