// What coordination costs: simulated workers, everything else real. 64 workers and 200 jobs of BERT-base's sizes through
// gRPC, nats-server, the job store and the claim loop; a task of Fisher takes 150 ms, a solve or a sum 40 ms.
//   npm run bench:cluster [-- --workers 1,4,16,64 --jobs 200 --processes 2 --fisher-ms 150 --step-ms 40 --json FILE
//     --coordinators 1 --jobs-per-worker 1.5 --hidden 768 --profile FOLDER]
// The jobs are for the most workers; runs with fewer have their share of them. --hidden 96 has the same calls with fewer
// bytes; --profile writes where the time of the coordinator and of the first simulated workers went.
//
// A few jobs go before, which do not count: first calls are compiled, connections are made.
//
// "Busy" is the time that all workers computed, of the time that all of them were there: from the first claim to the end of
// the last job ("busy"), and until fewer jobs than workers were left ("while jobs outnumbered workers"). "At best" is busy
// without any overhead: jobs in rounds, each with a worker of its own; what is over in the last round spreads its Fisher
// shards over all workers and then tunes, one sub-layer after the other, on one worker each.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { NatsServer } from '../support/nats-server.ts';
import { cpuSecondsOf } from '../support/processes.ts';
import { SHARDS } from './bert-base.ts';
import type { Answer, CoordinatorReport, Question, Start, WorkersReport } from './cluster-messages.ts';

/** A sub-layer of tuning each: two a layer but for the first attention. */
const STEPS = 23;

interface Figures {
  readonly workers: number;
  readonly coordinators: number;
  readonly jobs: number;
  readonly tasks: number;
  readonly repeated: number;
  readonly seconds: number;
  readonly jobsPerMinute: number;
  /** Computing time of the workers by their number and the time of the whole run. */
  readonly busy: number;
  /** The same until fewer jobs than workers were left. */
  readonly busyWhileFull: number;
  readonly busyAtBest: number;
  /** The same of every half second. */
  readonly busyByHalfSecond: readonly number[];
  readonly coordinatorCpuSeconds: number;
  readonly workersCpuSeconds: number;
  readonly natsCpuSeconds: number;
  /** Of the largest coordinator; times and bytes are those of all. */
  readonly coordinatorPeakBytes: number;
  readonly megabytesPerSecondIn: number;
  readonly megabytesPerSecondOut: number;
}

const { values: flags } = parseArgs({
  options: {
    workers: { type: 'string', default: '1,4,16,64' },
    jobs: { type: 'string', default: '200' },
    processes: { type: 'string', default: '2' },
    'fisher-ms': { type: 'string', default: '150' },
    'step-ms': { type: 'string', default: '40' },
    coordinators: { type: 'string', default: '1' },
    'jobs-per-worker': { type: 'string' },
    hidden: { type: 'string', default: '768' },
    json: { type: 'string' },
    profile: { type: 'string' },
  },
});
const sizes = flags.workers.split(',').map((text) => positive('--workers', text));
const jobsInAll = positive('--jobs', flags.jobs);
const most = Math.max(...sizes);
const load = loadavg()[0].toFixed(1);
process.stdout.write(`${availableParallelism()} cores shared by all: ${cpus()[0]?.model}; load before: ${load}\n`);
const found: Figures[] = [];
for (const workers of sizes) {
  found.push(await measure(workers, Math.ceil((jobsInAll * workers) / most)));
  process.stdout.write(`${describe(found[found.length - 1])}\n`);
}
if (flags.json) await writeFile(flags.json, `${JSON.stringify(found, null, 2)}\n`);

async function measure(workers: number, jobs: number): Promise<Figures> {
  const nats = await NatsServer.start();
  const children: ChildProcess[] = [];
  try {
    const processes = Math.min(workers, positive('--processes', flags.processes));
    const [fisherMs, stepMs] = [positive('--fisher-ms', flags['fisher-ms']), positive('--step-ms', flags['step-ms'])];
    const start = (program: string, message: Start, more: readonly string[] = []) => {
      const execArgv = ['--enable-source-maps', ...more];
      const env = { ...process.env, ESPALIER_BENCH_HIDDEN: String(positive('--hidden', flags.hidden)) };
      const child = fork(fileURLToPath(new URL(program, import.meta.url)), [], { execArgv, env });
      children.push(child);
      child.send(message);
      return child;
    };
    const profile = (name: string) =>
      flags.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${flags.profile}/${workers}-${name}`];
    const coordinators = positive('--coordinators', flags.coordinators);
    const perWorker = flags['jobs-per-worker'];
    const jobsPerWorker = perWorker === undefined ? null : Number(perWorker);
    const reporting: Promise<CoordinatorReport>[] = [];
    let warm: Promise<unknown> | null = null;
    for (let index = 0; index < coordinators; index += 1) {
      const message: Start = {
        ...{ kind: 'coordinator', nats: nats.url, workers, jobs, coordinators, jobsPerWorker },
        isFirst: index === 0,
      };
      const child = start('simulated-coordinator.js', message, index === 0 ? profile('coordinator') : []);
      reporting.push(answer<CoordinatorReport>(child, 'coordinator-report'));
      warm ??= answer(child, 'warm');
      // The first one makes the streams; workers only publish.
      await answer(child, 'ready');
    }
    const simulated: ChildProcess[] = [];
    for (let index = 0; index < processes; index += 1) {
      const count = Math.floor(((index + 1) * workers) / processes) - Math.floor((index * workers) / processes);
      const message: Start = { kind: 'workers', nats: nats.url, count, fisherMs, stepMs };
      const child = start('simulated-workers.js', message, index === 0 ? profile('workers') : []);
      await answer(child, 'ready');
      simulated.push(child);
    }
    await warm;
    const natsCpuBefore = cpuSecondsOf(nats.pid);
    for (const child of simulated) child.send({ kind: 'begin' } satisfies Question);
    const found = await Promise.all(reporting);
    const natsCpuSeconds = cpuSecondsOf(nats.pid) - natsCpuBefore;
    const question: Question = { kind: 'report' };
    const reports = await Promise.all(
      simulated.map((child) => {
        child.send(question);
        return answer<WorkersReport>(child, 'workers-report');
      }),
    );
    await Promise.all(children.map((child) => child.exitCode ?? once(child, 'exit')));
    return figures(workers, jobs, found, reports, natsCpuSeconds);
  } finally {
    for (const child of children) child.kill();
    await nats.remove();
  }
}

function figures(
  workers: number,
  jobs: number,
  coordinators: readonly CoordinatorReport[],
  reports: readonly WorkersReport[],
  natsCpuSeconds: number,
): Figures {
  const busyMs = (fromMs: number, toMs: number) =>
    reports
      .flatMap(({ busy }) => busy)
      .filter(([tenth]) => tenth * 100 >= fromMs && tenth * 100 < toMs)
      .reduce((sum, [, ms]) => sum + ms, 0);
  const total = (figure: (report: CoordinatorReport) => number) =>
    coordinators.reduce((sum, report) => sum + figure(report), 0);
  const [{ startMs, thinMs, endMs }] = coordinators;
  const seconds = (endMs - startMs) / 1000;
  const ratio = (fromMs: number, toMs: number) => busyMs(fromMs, toMs) / (workers * Math.max(1, toMs - fromMs));
  return {
    ...{ workers, coordinators: coordinators.length, jobs, seconds, jobsPerMinute: (jobs / seconds) * 60 },
    tasks: total(({ tasks }) => tasks),
    repeated: total(({ repeated }) => repeated),
    busy: ratio(startMs, endMs),
    busyWhileFull: ratio(startMs, thinMs),
    busyAtBest: bestRatio(workers, jobs),
    busyByHalfSecond: Array.from({ length: Math.ceil(seconds * 2) }, (_, half) =>
      ratio(startMs + 500 * half, Math.min(endMs, startMs + 500 * (half + 1))),
    ),
    coordinatorCpuSeconds: total(({ cpuSeconds }) => cpuSeconds),
    workersCpuSeconds: reports.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    natsCpuSeconds,
    coordinatorPeakBytes: Math.max(...coordinators.map(({ peakRssBytes }) => peakRssBytes)),
    megabytesPerSecondIn: total(({ bytesIn }) => bytesIn) / seconds / 1e6,
    megabytesPerSecondOut: total(({ bytesOut }) => bytesOut) / seconds / 1e6,
  };
}

function bestRatio(workers: number, jobs: number): number {
  const [fisherMs, stepMs] = [positive('--fisher-ms', flags['fisher-ms']), positive('--step-ms', flags['step-ms'])];
  const jobMs = SHARDS * fisherMs + STEPS * stepMs;
  const over = jobs % workers;
  const lastMs = over === 0 ? 0 : Math.ceil((over * SHARDS) / workers) * fisherMs + STEPS * stepMs;
  return (jobs * jobMs) / (workers * (Math.floor(jobs / workers) * jobMs + lastMs));
}

function describe(one: Figures): string {
  const percent = (ratio: number) => `${(100 * ratio).toFixed(1)} %`;
  const cpu = (seconds: number) => `${seconds.toFixed(1)} s`;
  return [
    `${one.workers} workers, ${one.coordinators} coordinators, ${one.jobs} jobs: ${percent(one.busy)} busy (at best ${percent(one.busyAtBest)}), ${percent(one.busyWhileFull)} while jobs outnumbered workers`,
    `  by half seconds: ${one.busyByHalfSecond.map((ratio) => (100 * ratio).toFixed(0)).join(' ')}`,
    `  ${one.seconds.toFixed(1)} s, ${one.jobsPerMinute.toFixed(0)} jobs/min, ${one.tasks} tasks, ${one.repeated} sent again`,
    `  CPU: coordinator ${cpu(one.coordinatorCpuSeconds)}, simulated workers ${cpu(one.workersCpuSeconds)}, nats-server ${cpu(one.natsCpuSeconds)}`,
    `  coordinator: peak ${(one.coordinatorPeakBytes / 1e6).toFixed(0)} MB; ${one.megabytesPerSecondIn.toFixed(0)} MB/s in, ${one.megabytesPerSecondOut.toFixed(0)} MB/s out`,
  ].join('\n');
}

function answer<T extends Answer>(child: ChildProcess, kind: T['kind']): Promise<T> {
  return new Promise((resolve, reject) => {
    child.on('message', (message: Answer) => {
      if (message.kind === kind) resolve(message as T);
    });
    child.once('exit', (code, signal) => reject(new Error(`${kind}: the process ended with ${signal ?? code}`)));
  });
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name}: got ${text}, expected a whole number from 1`);
  return value;
}
