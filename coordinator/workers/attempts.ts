// Tries of tasks on workers, and what becomes of each: a first result ends the task and its other try, a failure that may
// pass lets it wait again, for another worker where this one has not what it runs in, and any other ends its run.
import { EspalierError } from '../../shared/errors.ts';
import { fromStatus, saidByPeer } from '../../shared/rpc/status.ts';
import type { Clock } from './clock.ts';
import type { FleetListener } from './fleet-listener.ts';
import { HandOver, type HeldShards } from './hand-over.ts';
import type { ScheduledJobs } from './scheduled-jobs.ts';
import type { Attempt, Task } from './task-run.ts';
import { kindOf, requestBytes, type TaskResult, tryTask } from './task-spec.ts';
import type { Trust } from './trust.ts';
import type { WorkerSlot } from './worker-slot.ts';
import type { WorkerSlots } from './worker-slots.ts';

const MAX_TRIES = 5;

/** Pause before a worker that serves other coordinators, too, and does not say when, is asked again. */
const BUSY_MS = 200;

export interface AttemptsOptions {
  readonly slots: WorkerSlots;
  readonly jobs: ScheduledJobs;
  readonly trust: Trust;
  readonly clock: Clock;
  readonly listener: FleetListener;
  /** Called after each try, when its worker has room again. */
  readonly onEnd: () => void;
}

export class Attempts {
  readonly #slots: WorkerSlots;
  readonly #jobs: ScheduledJobs;
  readonly #trust: Trust;
  readonly #clock: Clock;
  readonly #listener: FleetListener;
  readonly #onEnd: () => void;
  readonly #handOver = new HandOver();

  constructor({ slots, jobs, trust, clock, listener, onEnd }: AttemptsOptions) {
    this.#slots = slots;
    this.#jobs = jobs;
    this.#trust = trust;
    this.#clock = clock;
    this.#listener = listener;
    this.#onEnd = onEnd;
  }

  /** How many tasks went with states of another worker. */
  get handOvers(): number {
    return this.#handOver.done;
  }

  /** Sends the task to the worker, besides a try that it may have elsewhere. */
  begin(task: Task, slot: WorkerSlot): void {
    const attempt: Attempt = {
      task,
      slot,
      isRepeat: task.attempts.size > 0,
      abort: new AbortController(),
      sentMs: null,
    };
    const deadlineMs = slot.deadlineMsFor(task.spec);
    const isFirst = task.attempts.size === 0 && task.failures === 0;
    slot.begin(attempt, this.#clock.now());
    task.attempts.add(attempt);
    task.run.attempts.add(attempt);
    this.#try(attempt, deadlineMs, isFirst)
      .finally(() => {
        slot.end(attempt, this.#clock.now());
        task.attempts.delete(attempt);
        task.run.attempts.delete(attempt);
      })
      .then((result) => this.#succeeded(attempt, result))
      .catch((caught) => this.#failed(attempt, fromStatus(caught, slot.address)))
      .finally(this.#onEnd);
  }

  async #try(attempt: Attempt, deadlineMs: number, isFirst: boolean): Promise<{ result: TaskResult; seconds: number }> {
    const { task, slot, abort } = attempt;
    const held = isFirst ? this.#heldElsewhere(task, slot) : [];
    const spec =
      held.length === 0 ? task.spec : await this.#handOver.prepare(task.spec, slot.worker, held, abort.signal);
    if (spec !== task.spec) task.job.spread.statesMove();
    const onSent = () => {
      attempt.sentMs = this.#clock.now();
      this.#listener.bytes('out', requestBytes(spec));
    };
    const told = task.job.beginTry({ id: spec.id, kind: kindOf(spec) });
    try {
      const { context } = told;
      const onBytes = (count: number) => this.#listener.bytes('in', count);
      const onPeakMemory = (bytes: number) => task.job.times.peak(slot.address, bytes);
      const listeners = { onSent, onBytes, onPeakMemory };
      const options = { deadlineMs, signal: abort.signal, context, ...listeners };
      const result = await tryTask(slot.worker, spec, options);
      told.end();
      return { result, seconds: (this.#clock.now() - slot.atTheEarliestMs(attempt)) / 1000 };
    } catch (caught) {
      told.end(caught);
      throw caught;
    }
  }

  /** The states that this task goes on from, where its key has moved here from other workers. */
  #heldElsewhere({ spec, job }: Task, slot: WorkerSlot): HeldShards[] {
    if (spec.affinity === undefined || job.ownerOf(spec.affinity) !== slot.address) return [];
    return job.holders.holdersOf(spec.request).flatMap(({ shards, address }) => {
      const holder = address === slot.address ? undefined : this.#slots.at(address)?.worker;
      return holder === undefined ? [] : [{ shards, holder }];
    });
  }

  #succeeded(attempt: Attempt, { result, seconds }: { result: TaskResult; seconds: number }): void {
    const { task, slot } = attempt;
    const { job, run, spec } = task;
    const kind = kindOf(spec);
    slot.succeeded();
    job.durations.add(kind, seconds * 1000);
    job.times.add(slot.address, kind, seconds);
    job.holders.note(spec.request, slot.address);
    job.spread.done(spec.request, seconds * 1000, this.#clock.now());
    this.#listener.taskDone(kind, seconds);
    for (const other of task.attempts) {
      // Late, or gone without a word.
      if (attempt.isRepeat) this.#trust.punish(other.slot);
      other.abort.abort(new EspalierError('cancelled', `${spec.id}: done elsewhere`));
    }
    run.done(task, result);
  }

  #failed({ task, slot }: Attempt, error: EspalierError): void {
    const { run, spec, job } = task;
    if (run.isOver || task.isDone) return;
    // A worker without room on its disk: others may have some.
    const isFull = error.code === 'disk_full' && saidByPeer(error);
    // Nobody here cancelled it: the worker is ending.
    const passes = error.retryable || error.code === 'cancelled' || isFull;
    if (!passes) {
      this.#jobs.fail(run, error);
      return;
    }
    this.#listener.taskRetried(kindOf(spec), error.code);
    task.avoid = slot;
    if (error.code === 'worker_busy') {
      this.#trust.leaveAlone(slot, error.retryAfterMs ?? BUSY_MS);
    } else if (error.code === 'runtime_missing') {
      // It will not come while the worker lives, which can do all else.
      task.missingOn.set(slot, error);
    } else if (error.code === 'worker_unavailable' && saidByPeer(error)) {
      // It is shutting down and says so: no fault of the task, nor a reason to ask it again soon.
      this.#trust.leaveAlone(slot, BUSY_MS);
    } else {
      task.failures += 1;
      task.failedOn.add(slot.address);
      if (error.code === 'blob_missing') slot.worker.uploader.forget(spec.blobs.map(({ digest }) => digest));
      else this.#trust.punish(slot);
    }
    if (task.failures >= MAX_TRIES) {
      this.#trust.pardon(task.failedOn);
      this.#jobs.fail(run, givenUp(task, slot, error));
    } else if (task.attempts.size === 0) {
      task.waitingSinceMs = this.#clock.now();
      job.waiting.unshift(task);
    }
  }
}

function givenUp({ spec, failures }: Task, slot: WorkerSlot, error: EspalierError): EspalierError {
  const code = error.code === 'cancelled' ? 'worker_unavailable' : error.code;
  const text = `${spec.id}: failed ${failures} times, last on ${slot.address}: ${error.message}`;
  return new EspalierError(code, text, { cause: error });
}
