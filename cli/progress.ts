// Draws a job's events on standard error. On a terminal the running stage has one line that is drawn over; elsewhere each
// finished stage is a line, and a long one says every ten seconds how far it is. Owns the cursor: whoever makes a
// Progress closes it, and the cursor is then shown again.
import type { JobEvent, Stage } from '../coordinator/job-events.ts';
import { formatSeconds } from './quantities.ts';
import {
  barOf,
  CLEAR_LINE,
  canDrawOver,
  HIDE_CURSOR,
  PLAIN_LINE_MS,
  REDRAW_MS,
  SHOW_CURSOR,
  timeLeft,
  type ViewOptions,
} from './views/terminal.ts';

export interface ProgressOptions extends ViewOptions {
  readonly quiet: boolean;
}

interface RunningStage {
  readonly label: string;
  readonly startedMs: number;
  done: number;
  steps: number;
}

const LABEL_WIDTH = 14;

export class Progress {
  readonly #options: ProgressOptions;
  readonly #live: boolean;
  #running: RunningStage | null = null;
  #lastDrawnMs = 0;
  #cursorHidden = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#live = canDrawOver(options);
  }

  onEvent(event: JobEvent): void {
    if (this.#options.quiet) return;
    switch (event.kind) {
      case 'stage-started':
        this.#start(labelOf(event), event.steps);
        break;
      case 'stage-progress':
        this.#advance(labelOf(event), event.done, event.steps);
        break;
      case 'stage-finished':
        // The next one may run while it is stored.
        if (this.#running?.label === labelOf(event)) this.#running = null;
        this.#line(finishedLine(event));
        break;
      case 'worker-joined':
        this.#line(`worker ${event.worker} joined: ${event.device}`);
        break;
      case 'worker-lost':
        this.#line(`worker ${event.worker} lost: ${event.reason}`);
        break;
      case 'notice':
        this.#line(`note: ${event.text}`);
        break;
    }
  }

  /** Wipes the live line and shows the cursor; harmless when called again, also from a process "exit" handler. */
  close(): void {
    this.#running = null;
    if (!this.#cursorHidden) return;
    this.#cursorHidden = false;
    this.#options.sink.write(CLEAR_LINE + SHOW_CURSOR);
  }

  #start(label: string, steps: number): void {
    const nowMs = this.#options.now();
    this.#running = { label, startedMs: nowMs, done: 0, steps };
    this.#lastDrawnMs = nowMs;
    if (this.#live) this.#draw();
  }

  #advance(label: string, done: number, steps: number): void {
    if (this.#running?.label !== label) this.#start(label, steps);
    const running = this.#running as RunningStage;
    running.done = done;
    running.steps = steps;
    const nowMs = this.#options.now();
    if (nowMs - this.#lastDrawnMs < (this.#live ? REDRAW_MS : PLAIN_LINE_MS)) return;
    this.#lastDrawnMs = nowMs;
    if (this.#live) this.#draw();
    else this.#options.sink.write(`${`${label} `.padEnd(LABEL_WIDTH)}${done} of ${steps}${this.#timeLeft(running)}\n`);
  }

  /** One line that stays; the live line moves below it. */
  #line(text: string): void {
    this.#options.sink.write(`${this.#cursorHidden ? CLEAR_LINE : ''}${text}\n`);
    if (this.#live && this.#running !== null) this.#draw();
  }

  #draw(): void {
    const running = this.#running as RunningStage;
    const width = this.#options.sink.columns || 80;
    const share = running.steps > 0 ? Math.min(1, running.done / running.steps) : 0;
    const label = `${running.label} `.padEnd(LABEL_WIDTH);
    const { bar, percent } = barOf(share);
    const end = percent + this.#timeLeft(running);
    const wide = `${label}${bar} ${end}`;
    // The last column stays free: a full line would wrap, and only its second half be drawn over.
    const text = (wide.length < width ? wide : label + end).slice(0, Math.max(0, width - 1));
    this.#options.sink.write((this.#cursorHidden ? '' : HIDE_CURSOR) + CLEAR_LINE + text);
    this.#cursorHidden = true;
  }

  #timeLeft({ startedMs, done, steps }: RunningStage): string {
    return timeLeft(this.#options.now() - startedMs, done, steps);
  }
}

function finishedLine(event: Extract<JobEvent, { kind: 'stage-finished' }>): string {
  const time = event.reused ? 'reused' : formatSeconds(event.seconds);
  const note = event.note === undefined ? '' : `  ${event.note}`;
  return `${labelOf(event)} `.padEnd(LABEL_WIDTH) + time + note;
}

function labelOf({ stage, budget }: { readonly stage: Stage; readonly budget?: string }): string {
  return budget === undefined ? stage : `${stage} ${budget}`;
}
