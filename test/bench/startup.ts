// How long a user waits before anything happens: commands that only tell something, a worker that starts, the demo up to its
// first progress, a model of BERT-base's shape on its way to the device. Whole processes, from outside.
//   npm run bench:startup [-- --runs 11 --device auto|cpu|gpu --only version,worker --json FILE --check]
// With --check it ends with exit code 1 where a median is over its goal, which asks for an idle machine.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { assertFiniteWeights } from '../../checkpoint/assert-finite.ts';
import { digestCheckpoint } from '../../checkpoint/digest-checkpoint.ts';
import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import { type Spread, spreadOf } from '../../coordinator/job/spread.ts';
import { LocalCluster } from '../../coordinator/workers/local-cluster.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { runChild } from './gpu/child.ts';
import { writeBenchReviews } from './reviews.ts';
import type { LoadFound, LoadStart } from './startup/load-model.ts';
import { writeBertBase } from './synthetic-model.ts';

interface Measured {
  readonly title: string;
  /** Seconds; null: none was set. */
  readonly goal: number | null;
  run(): Promise<number>;
}

const SEED = 1;
const DEVICES = ['auto', 'cpu', 'gpu'] as const;
const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '11' },
    device: { type: 'string', default: 'auto' },
    only: { type: 'string' },
    json: { type: 'string' },
    check: { type: 'boolean', default: false },
  },
});
const device = DEVICES.find((known) => known === flags.device);
if (device === undefined) throw new Error(`--device: got ${flags.device}, expected ${DEVICES.join(', ')}`);
const runs = Number(flags.runs);
if (!(Number.isSafeInteger(runs) && runs >= 1)) throw new Error(`--runs: got ${flags.runs}, expected a whole number`);

const folder = await mkdtemp(path.join(tmpdir(), 'espalier-startup-'));
const base = path.join(folder, 'bert-base');
const reviews = path.join(folder, 'reviews.jsonl');
const MEASURED: Readonly<Record<string, Measured>> = {
  node: { title: 'node -e 0, for comparison', goal: null, run: () => timed(['-e', '0']) },
  version: { title: 'espalier --version', goal: 0.15, run: () => timed(['cli/espalier.mjs', '--version']) },
  help: { title: 'espalier prune --help', goal: 0.15, run: () => timed(['cli/espalier.mjs', 'prune', '--help']) },
  usage: { title: 'a wrong option', goal: 0.15, run: () => timed(['cli/espalier.mjs', 'prune', '--nope']) },
  worker: { title: 'a worker, until it serves', goal: 2, run: startWorker },
  demo: { title: 'set-up and job of the demo, until the first line of progress', goal: 3, run: firstProgress },
  checks: { title: 'BERT-base: finite weights and digest, as a job checks them', goal: null, run: checkModel },
  load: { title: 'BERT-base: file to weights on the device', goal: 1, run: loadModel },
};

try {
  const names = flags.only?.split(',') ?? Object.keys(MEASURED);
  const unknown = names.filter((name) => !Object.hasOwn(MEASURED, name));
  if (unknown.length > 0)
    throw new Error(`--only: got ${unknown.join()}, expected some of ${Object.keys(MEASURED).join()}`);
  if (names.includes('load') || names.includes('checks')) await writeBertBase(base, SEED);
  if (names.includes('demo')) await writeBenchReviews(reviews);
  const found: { name: string; title: string; goal: number | null; seconds: Spread; least: number }[] = [];
  for (const name of names) {
    const { title, goal, run } = MEASURED[name]!;
    // The first one brings files into the page cache.
    await run();
    const times = new Float64Array(runs);
    for (let i = 0; i < runs; i++) times[i] = await run();
    const seconds = spreadOf(times);
    found.push({ name, title, goal, seconds, least: Math.min(...times) });
    const asked = goal === null ? '' : `, asked for ${goal} s`;
    process.stdout.write(`${title}: ${seconds.median.toFixed(3)} s (least ${Math.min(...times).toFixed(3)})${asked}\n`);
  }
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', threads: availableParallelism(), load: loadavg()[0] };
  process.stdout.write(
    `medians of ${runs}, ${machine.threads} threads of ${machine.cpu}, load ${machine.load!.toFixed(2)}\n`,
  );
  if (flags.json) await writeFile(flags.json, `${JSON.stringify({ machine, runs, found }, null, 2)}\n`);
  const late = found.filter(({ goal, seconds }) => goal !== null && seconds.median > goal);
  for (const { title } of late) process.stderr.write(`${title}: over its goal\n`);
  process.exitCode = flags.check && late.length > 0 ? 1 : 0;
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Seconds from the start of a Node program to its end. */
function timed(words: readonly string[]): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, words, { cwd: projectRoot(), stdio: 'ignore' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve((performance.now() - start) / 1000));
  });
}

async function startWorker(): Promise<number> {
  const start = performance.now();
  const cluster = await LocalCluster.start({ count: 1, blobDir: path.join(folder, 'blobs'), device: device! });
  const seconds = (performance.now() - start) / 1000;
  await cluster.close({ graceMs: 0 });
  return seconds;
}

/** What `npm run demo` does, but for npm itself and the making of its sentences. Without a terminal the first line comes when
 * the workers have joined; on one the stage is drawn before that. */
async function firstProgress(): Promise<number> {
  const start = performance.now();
  await timed(['setup/main.mjs', 'setup']);
  const words = [
    'prune',
    'examples/mini-sst2',
    '--data',
    reviews,
    '--budget',
    '0.5',
    '--out',
    path.join(folder, 'out'),
  ];
  const child = spawn(process.execPath, ['cli/espalier.mjs', ...words, '--force', '--device', device!], {
    cwd: projectRoot(),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  for await (const line of createInterface(child.stderr)) {
    if (line.startsWith('espalier: ')) throw new Error(line);
    const seconds = (performance.now() - start) / 1000;
    child.kill('SIGTERM');
    child.stderr.resume();
    await ended;
    return seconds;
  }
  throw new Error('the job ended without a line of progress');
}

async function checkModel(): Promise<number> {
  // A file that was touched is hashed again; as it was, its digest would be known.
  await utimes(path.join(base, 'model.safetensors'), new Date(), new Date());
  const start = performance.now();
  const checkpoint = await openCheckpoint(base);
  try {
    await assertFiniteWeights(checkpoint);
    await digestCheckpoint(checkpoint);
  } finally {
    await checkpoint.close();
  }
  return (performance.now() - start) / 1000;
}

async function loadModel(): Promise<number> {
  const start = { model: base, device: device! };
  return (await runChild<LoadStart, LoadFound>('../startup/load-model.js', start)).seconds;
}
