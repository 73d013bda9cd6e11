// Draws the jobs of a watch. On a terminal, lines that stay scroll by above a block that is drawn over: one line a running
// job with the bar of its stage and the time that is left of it, and a count of all. Elsewhere everything is a line, and a
// long stage says every ten seconds how far it is. Owns the cursor: whoever makes a view closes it.
import type { Job } from '../client/cluster-client.ts';
import { plainText } from './plain-text.ts';
import {
  barOf,
  canDrawOver,
  HIDE_CURSOR,
  PLAIN_LINE_MS,
  REDRAW_MS,
  SHOW_CURSOR,
  type TextSink,
  timeLeft,
  type ViewOptions,
} from './terminal.ts';
import { eventText, stageLabel, type WatchedEvent } from './watched-event.ts';

export interface WatchSink extends TextSink {
  readonly rows?: number;
}

export interface WatchViewOptions extends ViewOptions {
  readonly sink: WatchSink;
}

interface RunningStage {
  readonly label: string;
  /** By the clock of the events, which are told late when a watch starts late. */
  readonly startedMs: number;
  lastMs: number;
  done: number;
  steps: number;
  toldMs: number;
}

const LABEL_WIDTH = 16;
const MOST_NAME_WIDTH = 28;

export class WatchView {
  readonly #options: WatchViewOptions;
  readonly #isLive: boolean;
  readonly #running = new Map<string, RunningStage>();
  #jobs: readonly Job[] = [];
  #names = new Map<string, string>();
  #shownLines = 0;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #isCursorHidden = false;

  constructor(options: WatchViewOptions) {
    this.#options = options;
    this.#isLive = canDrawOver(options);
  }

  /** The jobs that are watched, as they are now. */
  onJobs(jobs: readonly Job[]): void {
    this.#jobs = jobs;
    this.#names = new Map(jobs.map(({ id, name }) => [id, plainText(name)]));
    for (const { id, state } of jobs) if (state !== 'running') this.#running.delete(id);
    this.#draw();
  }

  onEvent(id: string, time: string, event: WatchedEvent): void {
    const timeMs = Date.parse(time);
    if (event.kind === 'stage-started' || event.kind === 'stage-progress') this.#advance(id, timeMs, event);
    else if (event.kind === 'stage-finished') this.#ended(id, stageLabel(event));
    else if (event.kind === 'state') this.#running.delete(id);
    const text = event.kind === 'stage-started' ? null : eventText(event);
    if (text !== null) this.#line(`${this.#prefix(id)}${text}`);
    else this.#draw();
  }

  /** One line that stays. */
  note(text: string): void {
    this.#line(plainText(text));
  }

  /** Wipes the block and shows the cursor; harmless when called again, also from a process "exit" handler. */
  close(): void {
    this.#erase();
    if (this.#isCursorHidden) this.#options.sink.write(SHOW_CURSOR);
    this.#isCursorHidden = false;
    this.#jobs = [];
  }

  /** The next one may run while it is stored. */
  #ended(id: string, label: string): void {
    if (this.#running.get(id)?.label === label) this.#running.delete(id);
  }

  #advance(
    id: string,
    timeMs: number,
    event: Extract<WatchedEvent, { kind: 'stage-started' | 'stage-progress' }>,
  ): void {
    const label = stageLabel(event);
    const { steps } = event;
    let stage = this.#running.get(id);
    if (event.kind === 'stage-started' || stage?.label !== label) {
      stage = { label, startedMs: timeMs, lastMs: timeMs, done: 0, steps, toldMs: this.#options.now() };
      this.#running.set(id, stage);
    }
    if (event.kind === 'stage-started') return;
    Object.assign(stage, { done: event.done, steps, lastMs: timeMs });
    const nowMs = this.#options.now();
    if (this.#isLive || nowMs - stage.toldMs < PLAIN_LINE_MS) return;
    stage.toldMs = nowMs;
    this.#line(`${this.#prefix(id)}${label} ${stage.done} of ${stage.steps}${leftOf(stage)}`);
  }

  /** One watched job needs no name before its lines. */
  #prefix(id: string): string {
    return this.#jobs.length > 1 ? `${this.#names.get(id) ?? id}: ` : '';
  }

  #line(text: string): void {
    this.#erase();
    this.#options.sink.write(`${text}\n`);
    this.#drawnMs = Number.NEGATIVE_INFINITY;
    this.#draw();
  }

  #draw(): void {
    if (!this.#isLive || this.#jobs.length === 0) return;
    const nowMs = this.#options.now();
    if (nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    this.#erase();
    const lines = this.#block();
    this.#options.sink.write(`${this.#isCursorHidden ? '' : HIDE_CURSOR}${lines.join('\n')}\n`);
    this.#isCursorHidden = true;
    this.#shownLines = lines.length;
  }

  #erase(): void {
    if (this.#shownLines > 0) this.#options.sink.write(`\x1b[${this.#shownLines}F\x1b[J`);
    this.#shownLines = 0;
  }

  #block(): string[] {
    // A terminal that does not know its size says 0.
    const columns = this.#options.sink.columns || 80;
    const rows = this.#options.sink.rows || 24;
    const nameWidth = Math.min(MOST_NAME_WIDTH, Math.max(...[...this.#names.values()].map(({ length }) => length)));
    const bars = [...this.#running].map(([id, stage]) => {
      const share = stage.steps > 0 ? Math.min(1, Math.max(0, stage.done / stage.steps)) : 0;
      const name = (this.#names.get(id) ?? id).slice(0, nameWidth).padEnd(nameWidth);
      const { bar, percent } = barOf(share);
      return `${name}  ${stage.label.padEnd(LABEL_WIDTH)}${bar} ${percent}${leftOf(stage)}`;
    });
    // The block must not be taller than the screen, or it could not be drawn over.
    const room = Math.max(1, rows - 3);
    const shown = bars.length > room ? [...bars.slice(0, room), `and ${bars.length - room} more`] : bars;
    return [...shown, this.#counts()].map((line) => line.slice(0, Math.max(1, columns - 1)));
  }

  #counts(): string {
    const states = ['queued', 'running', 'done', 'failed', 'cancelled'];
    const counts = states.map((state) => [state, this.#jobs.filter((job) => job.state === state).length] as const);
    return counts.flatMap(([state, count]) => (count > 0 ? [`${count} ${state}`] : [])).join(', ');
  }
}

function leftOf({ startedMs, lastMs, done, steps }: RunningStage): string {
  return timeLeft(lastMs - startedMs, done, steps);
}
