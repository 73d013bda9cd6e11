// Draws a job's events on standard error. On a terminal the running stage has one line that is drawn over; elsewhere each
// finished stage is a line, and a long one says every ten seconds how far it is. Owns the cursor: whoever makes a
// Progress closes it, and the cursor is then shown again.
import type { JobEvent, Stage } from '../coordinator/job-events.ts';
import { formatSeconds } from './quantities.ts';

/** The part of a writable stream that is used, so that tests can stand in for a terminal. */
export interface TextSink {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  readonly sink: TextSink;
  readonly quiet: boolean;
  /** TERM; a dumb terminal can draw nothing over and gets lines. */
  readonly terminal?: string | undefined;
  /** Milliseconds of any clock that only goes forward. */
  readonly now: () => number;
}

interface RunningStage {
  readonly label: string;
  readonly startedMs: number;
  done: number;
  steps: number;
}

const LABEL_WIDTH = 14;
const BAR_WIDTH = 24;
const REDRAW_MS = 100;
const PLAIN_LINE_MS = 10_000;
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';
const CLEAR_LINE = '\r\x1b[2K';

export class Progress {
  readonly #options: ProgressOptions;
  readonly #live: boolean;
  #running: RunningStage | null = null;
  #lastDrawnMs = 0;
  #cursorHidden = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#live = options.sink.isTTY === true && options.terminal !== 'dumb';
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
        this.#running = null;
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
    else this.#options.sink.write(`${label.padEnd(LABEL_WIDTH)}${done} of ${steps}${this.#timeLeft(running)}\n`);
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
    const filled = Math.round(share * BAR_WIDTH);
    const label = running.label.padEnd(LABEL_WIDTH);
    const percent = `${String(Math.floor(share * 100)).padStart(3)} %${this.#timeLeft(running)}`;
    const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] `;
    const wide = label + bar + percent;
    // The last column stays free: a full line would wrap, and only its second half be drawn over.
    const text = (wide.length < width ? wide : label + percent).slice(0, Math.max(0, width - 1));
    this.#options.sink.write((this.#cursorHidden ? '' : HIDE_CURSOR) + CLEAR_LINE + text);
    this.#cursorHidden = true;
  }

  #timeLeft({ startedMs, done, steps }: RunningStage): string {
    if (done === 0 || done >= steps) return '';
    const elapsedSeconds = (this.#options.now() - startedMs) / 1000;
    return `, ${formatSeconds((elapsedSeconds / done) * (steps - done))} left`;
  }
}

function finishedLine(event: Extract<JobEvent, { kind: 'stage-finished' }>): string {
  const time = event.reused ? 'reused' : formatSeconds(event.seconds);
  const note = event.note === undefined ? '' : `  ${event.note}`;
  return labelOf(event).padEnd(LABEL_WIDTH) + time + note;
}

function labelOf({ stage, budget }: { readonly stage: Stage; readonly budget?: string }): string {
  return budget === undefined ? stage : `${stage} ${budget}`;
}
