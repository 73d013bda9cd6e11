// How fast the results are, and where the job's own time went.
import type { PruneReport } from '../prune-report.ts';
import { type Bar, drawBarChart } from './bar-chart.ts';
import type { Figure } from './figure.ts';
import { showMilliseconds, showRatio, showSeconds } from './figures.ts';
import { distinctSteps } from './gradual-figures.ts';
import { html } from './html.ts';
import { type ReportedJob, runtimeName, type Timing, timedPasses } from './reported-job.ts';

/** Forward passes, a panel a setting; null where none was timed. */
export function speedFigure({ budgets }: ReportedJob): Figure | null {
  const settings = [...new Set(budgets.flatMap(({ report }) => timedPasses(report).map(({ setting }) => setting)))];
  if (settings.length === 0) return null;
  const found = settings.map((setting) => ({
    setting,
    passes: budgets.flatMap(({ name, report }) =>
      timedPasses(report)
        .filter((timed) => timed.setting === setting)
        .map((pass) => ({ name, pass })),
    ),
  }));
  return {
    title: 'Forward passes',
    text: html`Median time of a forward pass, dense and pruned in turn in one process, so that what else the machine did meets both
alike${machinesOf(budgets[0].report)}. Lines across a bar's end: 10th to 90th percentile, where it was measured.`,
    panels: found.map(({ setting, passes }) => ({
      ...{ title: setting, size: 'full' as const },
      draw: (width: number) =>
        drawBarChart(
          {
            ...{ name: `Time of a forward pass, ${setting}` },
            ...{ valueTitle: 'median time of a forward pass (ms)', nameTitle: 'model (budget)' },
            bars: [
              bar('dense', passes[0].pass.dense, null),
              ...passes.map(({ name, pass }) => bar(name, pass.pruned, pass.dense)),
            ],
          },
          width,
        ),
    })),
    table: {
      caption: 'Time of forward passes',
      head: ['budget', 'setting', 'repeats', 'dense', 'pruned', 'speed-up'],
      rows: found.flatMap(({ setting, passes }) =>
        passes.map(({ name, pass: { repeats, dense, pruned } }) => [
          ...[name, setting, String(repeats), showTiming(dense), showTiming(pruned)],
          showRatio(dense.median / pruned.median),
        ]),
      ),
    },
  };
}

function machinesOf({ speed = [] }: Partial<PruneReport>): string {
  const places = new Set(
    speed.map(
      ({ runtime, version, provider, machine }) => `${runtimeName(runtime)} (${version}, ${provider}) on ${machine}`,
    ),
  );
  return places.size === 0 ? '' : `: ${[...places].join('; ')}`;
}

function bar(name: string, timing: Timing, dense: Timing | null): Bar {
  const { median, p10, p90 } = timing;
  const faster = dense === null ? '' : `, ${showRatio(dense.median / median)}`;
  return {
    ...{ name, value: median * 1000, text: `${showMilliseconds(median)}${faster}` },
    ...(p10 !== null && p90 !== null && { low: p10 * 1000, high: p90 * 1000 }),
  };
}

function showTiming({ median, p10, p90 }: Timing): string {
  const spread = p10 === null || p90 === null ? '' : ` (${showMilliseconds(p10)} to ${showMilliseconds(p90)})`;
  return `${showMilliseconds(median)}${spread}`;
}

const STAGES = ['load', 'fisher', 'search', 'rearrange', 'tune', 'evaluate'] as const;
/** Done once, whatever the number of budgets. */
const SHARED = ['load', 'fisher'];
/** Of a gradual job, whose steps serve every budget below them. */
const STEP_STAGES = ['gradients', 'search', 'refit', 'divergence'] as const;

/** Seconds by stage. */
export function stageTimes(job: ReportedJob): Figure {
  return job.budgets[0].report.method === 'gradual' ? gradualTimes(job) : paperTimes(job);
}

function gradualTimes(job: ReportedJob): Figure {
  const { budgets } = job;
  const steps = distinctSteps(job);
  const slowest = (stage: 'load' | 'evaluate' | 'total') =>
    Math.max(...budgets.map(({ report }) => report.seconds[stage]));
  const bars = [
    ['load', slowest('load')] as const,
    ...STEP_STAGES.map((stage) => [stage, steps.reduce((sum, { step }) => sum + step.seconds[stage], 0)] as const),
    ['evaluate', slowest('evaluate')] as const,
  ];
  return {
    title: 'Time by stage',
    text: html`Of the whole job, ${showSeconds(slowest('total'))} in all. Gradients, search, refit and divergence are summed over the
${steps.length === 1 ? 'one step' : `${steps.length} steps`}, which serve all budgets below them; evaluate is that of the slowest budget with the dense model's, which they share.`,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawBarChart(
            {
              ...{ name: 'Seconds by stage', valueTitle: 'time (s)', nameTitle: 'stage (in order)' },
              bars: bars.map(([name, value]) => ({ name, value, text: showSeconds(value) })),
            },
            width,
          ),
      },
    ],
    table: {
      caption: 'Seconds by stage and budget',
      head: ['budget', 'load', 'its steps', 'evaluate', 'whole job'],
      rows: budgets.map(({ name, report: { seconds } }) => [
        name,
        ...[seconds.load, seconds.gradual ?? 0, seconds.evaluate, seconds.total].map(showSeconds),
      ]),
    },
  };
}

function paperTimes({ budgets }: ReportedJob): Figure {
  const seconds = (stage: (typeof STAGES)[number]) => {
    const values = budgets.map(({ report }) => report.seconds[stage]);
    return SHARED.includes(stage) || stage === 'evaluate'
      ? Math.max(...values)
      : values.reduce((sum, value) => sum + value, 0);
  };
  return {
    title: 'Time by stage',
    text: html`Of the whole job, ${showSeconds(Math.max(...budgets.map(({ report }) => report.seconds.total)))} in all. Load and fisher
serve all budgets; search, rearrange and tune are summed over the budgets; evaluate is that of the slowest budget with the dense
model's, which they share.`,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawBarChart(
            {
              ...{ name: 'Seconds by stage', valueTitle: 'time (s)', nameTitle: 'stage (in order)' },
              bars: STAGES.map((stage) => ({ name: stage, value: seconds(stage), text: showSeconds(seconds(stage)) })),
            },
            width,
          ),
      },
    ],
    table: {
      caption: 'Seconds by stage and budget',
      head: ['budget', ...STAGES, 'whole job'],
      rows: budgets.map(({ name, report }) => [
        name,
        ...[...STAGES, 'total' as const].map((stage) => showSeconds(report.seconds[stage])),
      ]),
    },
  };
}

/** What each worker did; null where the report does not tell. */
export function workerTimes({ budgets }: ReportedJob): Figure | null {
  const { workerTimes: times = [] } = budgets[0].report;
  if (times.length === 0) return null;
  const kinds = [...new Set(times.flatMap(({ seconds }) => Object.keys(seconds)))].sort();
  const total = (seconds: Readonly<Record<string, number>>) => Object.values(seconds).reduce((a, b) => a + b, 0);
  return {
    title: 'Time by worker',
    text: html`Time that each worker had a task of this job, in the run that ended it: a run that went on with what an earlier one had
stored counts its own part.`,
    panels: [
      {
        ...{ title: null, size: 'full' },
        draw: (width) =>
          drawBarChart(
            {
              ...{ name: 'Seconds by worker', valueTitle: 'time with a task (s)', nameTitle: 'worker (number)' },
              bars: times.map(({ worker, seconds }) => ({
                ...{ name: `worker ${worker}`, value: total(seconds), text: showSeconds(total(seconds)) },
              })),
            },
            width,
          ),
      },
    ],
    table: {
      caption: 'Seconds by worker and kind of task',
      head: ['worker', 'tasks', ...kinds.map((kind) => kind.replaceAll('_', ' ')), 'all'],
      rows: times.map(({ worker, tasks, seconds }) => [
        ...[String(worker), String(tasks)],
        ...kinds.map((kind) => showSeconds(seconds[kind] ?? 0)),
        showSeconds(total(seconds)),
      ]),
    },
  };
}
