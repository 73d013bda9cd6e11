// How much faster models are that were pruned to half of their MACs: the example's model and one of BERT-base's shape with
// random weights, whole jobs, each written model timed against the dense one in turn, in ONNX Runtime and in the engine.
// Ends with exit code 1 when ONNX Runtime gains less than it should. Ratios bear a machine that others use, too; it takes
// minutes, most of them passes of BERT-base in the engine.
//   npm run bench:speed [-- --batch-size 32 --length 128 --base-samples 64 --json FILE]
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runPruneJob } from '../../coordinator/prune-job.ts';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { benchSettings } from './bench-settings.ts';
import { writeBertBase, writeTexts } from './synthetic-model.ts';

/** The best that the paper reports at half of the MACs is 1.56, on a GPU. */
const LEAST_SPEED_UP = 1.6;
const SEED = 1;

interface Figures {
  readonly name: string;
  /** Share of the dense model's MACs. */
  readonly macs: number;
  readonly heads: readonly number[];
  readonly neurons: readonly number[];
  readonly speed: PruneReport['speed'];
}

const { values: flags } = parseArgs({
  options: {
    'batch-size': { type: 'string', default: '32' },
    length: { type: 'string', default: '128' },
    'base-samples': { type: 'string', default: '64' },
    json: { type: 'string' },
  },
});
const folder = await mkdtemp(path.join(tmpdir(), 'espalier-speed-'));
try {
  const found: Figures[] = [];
  for (const { name, model, data, samples } of await workloads()) {
    const out = path.join(folder, 'out');
    const timing = {
      runtime: 'onnxruntime',
      batchSizes: [Number(flags['batch-size'])],
      lengths: [Number(flags.length)],
      threads: 0,
    } as const;
    const settings = { ...benchSettings({ model, data, out, samples, workers: undefined, device: 'cpu' }), timing };
    const [report] = await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
    await rm(out, { recursive: true });
    const { heads, neurons } = report;
    found.push({ name, macs: report.macs.pruned / report.macs.dense, heads, neurons, speed: report.speed });
    process.stdout.write(`${describe(found[found.length - 1])}\n`);
  }
  if (flags.json) await writeFile(flags.json, `${JSON.stringify(found, null, 2)}\n`);
  const slow = found.filter(({ speed }) => !(speedUpIn(speed, 'onnxruntime') >= LEAST_SPEED_UP));
  for (const { name } of slow) process.stderr.write(`${name}: less than ${LEAST_SPEED_UP} times as fast\n`);
  process.exitCode = slow.length === 0 ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function workloads() {
  const reviews = path.join(folder, 'reviews.jsonl');
  const { generateReviews, writeReviews } = (await import(
    path.join(projectRoot(), 'examples/generate-reviews.mjs')
  )) as ReviewGenerator;
  writeReviews(reviews, generateReviews({ count: 4096, seed: SEED }));
  const base = path.join(folder, 'bert-base');
  const texts = path.join(folder, 'texts.jsonl');
  const samples = Number(flags['base-samples']);
  await writeBertBase(base, SEED);
  await writeTexts(texts, samples, SEED);
  return [
    { name: 'mini-sst2', model: path.join(projectRoot(), 'examples/mini-sst2'), data: reviews, samples: 2048 },
    { name: 'BERT-base shape', model: base, data: texts, samples },
  ];
}

interface ReviewGenerator {
  generateReviews(options: { count: number; seed: number }): unknown[];
  writeReviews(file: string, reviews: unknown[]): void;
}

/** NaN where that runtime could not be measured. */
function speedUpIn(speed: PruneReport['speed'], runtime: string): number {
  const measured = speed.find((one) => one.runtime === runtime);
  return measured === undefined ? Number.NaN : 1 / measured.ratio;
}

function describe({ name, macs, speed }: Figures): string {
  const milliseconds = (seconds: number) => (1000 * seconds).toFixed(1);
  const lines = speed.map(({ runtime, version, threads, batchSize, tokens, repeats, dense, pruned, ratio }) =>
    [
      `  ${runtime} ${version}, threads ${threads}, ${batchSize} x ${tokens}, ${repeats} passes of each:`,
      `${(1 / ratio).toFixed(2)} times as fast, ${milliseconds(dense.median)} (${milliseconds(dense.p10)} to`,
      `${milliseconds(dense.p90)}) ms -> ${milliseconds(pruned.median)} (${milliseconds(pruned.p10)} to`,
      `${milliseconds(pruned.p90)}) ms`,
    ].join(' '),
  );
  const machine = `${speed[0]?.machine ?? 'nothing measured'}; ${availableParallelism()} cores, load ${loadavg()[0].toFixed(2)}`;
  return [`${name}: ${(100 * macs).toFixed(1)} % of the MACs; ${machine}`, ...lines].join('\n');
}
