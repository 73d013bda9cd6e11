// The places of a worker. One task computes at a time; a few wait, those of several callers in turn; more are refused
// with a hint when to try again.
//
// A place: waiting → computing → sending → left. It is left from any of them when its call ends early, and handed back
// from waiting when the queue closes.
import { EspalierError, toEspalierError } from '../../shared/errors.ts';

/** Assumed until the first task has been computed. */
const FIRST_GUESS_MS = 1_000;
/** Share of the newest task in the running average of what tasks take. */
const NEWEST_SHARE = 0.2;
const MOST_PEERS = 256;
const LEAST_RETRY_MS = 50;
const MOST_RETRY_MS = 30_000;

/** The place of one call. */
export interface Place {
  /** Aborted, with the reason of `close`, when the queue closes while the task has not begun to compute. */
  readonly handedBack: AbortSignal;
  /** Computes when its turn comes; called once. A task whose signal aborts while it waits never starts. */
  compute<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Harmless when called again. */
  leave(): void;
}

interface Turn {
  readonly peer: string;
  begin(): void;
}

export class TaskQueue {
  readonly #maxWaiting: number;
  readonly #onChange: () => void;
  /** Of each place that has not begun to compute: hands it back. */
  readonly #waiting = new Set<AbortController>();
  readonly #turns: Turn[] = [];
  /** Number of the last turn that each peer had. */
  readonly #served = new Map<string, number>();
  #admitted = 0;
  #turnCount = 0;
  #isComputing = false;
  #averageMs: number | null = null;
  #closed: EspalierError | null = null;
  #idle: (() => void)[] = [];

  /** @param onChange told when the number of tasks has changed. */
  constructor(maxWaiting: number, onChange: () => void = () => {}) {
    this.#maxWaiting = maxWaiting;
    this.#onChange = onChange;
  }

  /** Tasks that compute, wait or send their result. */
  get size(): number {
    return this.#admitted;
  }

  get limit(): number {
    return this.#maxWaiting + 1;
  }

  /** Holds a place for one task until it is left. @param peer who calls: callers take turns.
   * @param isLate it is taken after `close`, too.
   * @throws EspalierError "worker_busy" when there is none, or the reason of `close`. */
  admit(peer: string, isLate = false): Place {
    if (this.#closed !== null && !isLate) throw this.#closed;
    if (this.#admitted >= this.limit)
      throw new EspalierError('worker_busy', `got a task while ${this.#admitted} are running or waiting`, {
        retryAfterMs: this.#retryAfterMs(),
      });
    this.#admitted += 1;
    const handBack = new AbortController();
    this.#waiting.add(handBack);
    let left = false;
    const leave = () => {
      if (left) return;
      left = true;
      this.#waiting.delete(handBack);
      this.#admitted -= 1;
      if (this.#admitted === 0) {
        this.#served.clear();
        for (const resolve of this.#idle.splice(0)) resolve();
      }
      this.#onChange();
    };
    this.#onChange();
    return {
      handedBack: handBack.signal,
      compute: (work, signal) => this.#compute(peer, () => this.#waiting.delete(handBack), work, signal),
      leave,
    };
  }

  /** Refuses further tasks with this error, but for late ones, and hands back those that have not begun. */
  close(reason: EspalierError): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    for (const handBack of [...this.#waiting]) handBack.abort(reason);
  }

  /** Resolves when no task is running, waiting or sending. */
  async idle(): Promise<void> {
    if (this.#admitted > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async #compute<T>(peer: string, begun: () => void, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#turn(peer, signal);
    begun();
    const startedAt = performance.now();
    try {
      const result = await work();
      const tookMs = performance.now() - startedAt;
      this.#averageMs = this.#averageMs === null ? tookMs : this.#averageMs + NEWEST_SHARE * (tookMs - this.#averageMs);
      return result;
    } finally {
      this.#isComputing = false;
      this.#next();
    }
  }

  /** Resolves when it is this task's turn. */
  #turn(peer: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        const at = this.#turns.indexOf(turn);
        if (at >= 0) this.#turns.splice(at, 1);
        reject(toEspalierError(signal.reason));
      };
      const turn: Turn = {
        peer,
        begin: () => {
          signal.removeEventListener('abort', abort);
          resolve();
        },
      };
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.#turns.push(turn);
      this.#next();
    });
  }

  /** Begins the task of whichever peer has waited longest for a turn. */
  #next(): void {
    if (this.#isComputing || this.#turns.length === 0) return;
    const servedAt = ({ peer }: Turn) => this.#served.get(peer) ?? 0;
    const turn = this.#turns.reduce((best, other) => (servedAt(other) < servedAt(best) ? other : best));
    this.#turns.splice(this.#turns.indexOf(turn), 1);
    this.#turnCount += 1;
    this.#served.delete(turn.peer);
    this.#served.set(turn.peer, this.#turnCount);
    // Peers come back under other names: those that were served longest ago are forgotten.
    for (const oldest of this.#served.keys()) if (this.#served.size > MOST_PEERS) this.#served.delete(oldest);
    this.#isComputing = true;
    turn.begin();
  }

  // Places get free at the pace at which tasks end.
  #retryAfterMs(): number {
    return Math.round(Math.min(Math.max(this.#averageMs ?? FIRST_GUESS_MS, LEAST_RETRY_MS), MOST_RETRY_MS));
  }
}
