// What a coordinator tells of one job while it runs: spans for the job, its stages and the tries of its tasks, and numbers
// for metrics. It listens to the job's events; nothing that the job does depends on it.
//
// Spans: job (one a claim) → stage → task. A stage's span is open from its "stage-started" to its "stage-finished" event, or
// to the end of the job where that came first.
import type { PrunedModel } from '../shared/telemetry/coordinator-metrics.ts';
import { NO_TRACER, type Span, type Tracer } from '../shared/telemetry/trace.ts';
import type { JobEvent, Stage } from './job-events.ts';
import type { JobRecord, JobResult } from './jobs/job-record.ts';
import { prunedModel } from './pruned-model.ts';
import type { BeginTry } from './workers/task-try.ts';

/** What is counted; the metrics of a coordinator are such a listener. */
export interface JobListener {
  stageFinished(stage: Stage, seconds: number): void;
  modelPruned(model: PrunedModel): void;
}

export const SILENT_JOB_LISTENER: JobListener = { stageFinished() {}, modelPruned() {} };

export interface JobTelemetryOptions {
  readonly record: Pick<JobRecord, 'id' | 'campaign' | 'name' | 'attempt' | 'traceparent'>;
  readonly tracer?: Tracer;
  readonly listener?: JobListener;
}

export class JobTelemetry {
  readonly #options: JobTelemetryOptions;
  readonly #tracer: Tracer;
  readonly #listener: JobListener;
  readonly #span: Span;
  /** Open stages, newest last. */
  readonly #stages = new Map<string, Span>();

  constructor(options: JobTelemetryOptions) {
    this.#options = options;
    this.#tracer = options.tracer ?? NO_TRACER;
    this.#listener = options.listener ?? SILENT_JOB_LISTENER;
    const { id, campaign, name, attempt, traceparent } = options.record;
    const attributes = { 'espalier.job': id, 'espalier.campaign': campaign, 'espalier.name': name };
    this.#span = this.#tracer.start('job', {
      parent: traceparent,
      attributes: { ...attributes, 'espalier.attempt': attempt },
    });
  }

  /** Of the job's span, for logs. */
  get traceparent(): string | null {
    return this.#span.traceparent;
  }

  /** Takes note of an event of the job. */
  note(event: JobEvent): void {
    if (event.kind === 'stage-started') {
      const { stage, budget = '' } = event;
      this.#end(stage, budget, {});
      const attributes = { 'espalier.stage': stage, ...(budget !== '' && { 'espalier.budget': budget }) };
      this.#stages.set(keyOf(stage, budget), this.#tracer.start('stage', { parent: this.traceparent, attributes }));
    } else if (event.kind === 'stage-finished') {
      const { stage, budget = '', reused, seconds } = event;
      if (!reused) this.#listener.stageFinished(stage, seconds);
      this.#end(stage, budget, { 'espalier.reused': reused });
    }
  }

  readonly beginTry: BeginTry = ({ id, kind }) => {
    const stage = [...this.#stages.values()].at(-1) ?? this.#span;
    const attributes = { 'espalier.task': id, 'espalier.kind': kind };
    const span = this.#tracer.start('task', { parent: stage.traceparent, kind: 'client', attributes });
    const { id: job, attempt } = this.#options.record;
    return { context: { traceparent: span.traceparent, job, attempt }, end: (error) => span.end(error) };
  };

  /** The job is over for this coordinator: with its results, or with what stopped it. */
  end(outcome: { readonly results: readonly JobResult[] } | { readonly error: unknown }): void {
    const error = 'error' in outcome ? outcome.error : undefined;
    for (const span of this.#stages.values()) span.end(error);
    this.#stages.clear();
    if ('results' in outcome) for (const { report } of outcome.results) this.#listener.modelPruned(prunedModel(report));
    this.#span.end(error);
  }

  #end(stage: Stage, budget: string, attributes: Parameters<Span['set']>[0]): void {
    const key = keyOf(stage, budget);
    const span = this.#stages.get(key);
    if (span === undefined) return;
    this.#stages.delete(key);
    span.set(attributes);
    span.end();
  }
}

function keyOf(stage: Stage, budget: string): string {
  return `${stage} ${budget}`;
}
