// Times whole prune jobs through coordinator, gRPC and local workers, stage by stage: mini-sst2 with 2048 samples, and a
// model of BERT-base's shape with random weights and fewer samples. Medians; run it on an idle machine.
//   npm run bench [-- --repeats 5 --workers N --device cpu|gpu --base-samples 128 --data FILE --json FILE]
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runPruneJob } from '../../coordinator/prune-job.ts';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { benchSettings } from './bench-settings.ts';
import { spreadOf } from './gpu/figures.ts';
import { writeBenchReviews } from './reviews.ts';
import { writeBertBase, writeTexts } from './synthetic-model.ts';

const STAGES = ['load', 'fisher', 'search', 'rearrange', 'tune'] as const;
type Stage = (typeof STAGES)[number] | 'pruning';

interface Workload {
  readonly name: string;
  readonly model: string;
  readonly data: string;
  readonly samples: number;
  readonly repeats: number;
}

interface Figures {
  readonly name: string;
  readonly samples: number;
  /** Unpadded tokens of the calibration samples. */
  readonly tokens: number;
  readonly repeats: number;
  /** Median seconds; "pruning" is gradients, search, rearrangement and tuning together. */
  readonly seconds: Readonly<Record<Stage, number>>;
  /** Least and most seconds of pruning. */
  readonly spread: readonly [number, number];
  readonly workers: number;
  readonly deviceClass: PruneReport['deviceClass'];
}

const { values: flags } = parseArgs({
  options: {
    repeats: { type: 'string', default: '5' },
    workers: { type: 'string' },
    device: { type: 'string', default: 'auto' },
    data: { type: 'string' },
    'base-samples': { type: 'string', default: '128' },
    json: { type: 'string' },
  },
});
const folder = await mkdtemp(path.join(tmpdir(), 'espalier-bench-'));
try {
  const found: Figures[] = [];
  for (const workload of await workloads()) {
    found.push(await measure(workload));
    process.stdout.write(`${describe(found[found.length - 1])}\n`);
  }
  if (flags.json) await writeFile(flags.json, `${JSON.stringify(found, null, 2)}\n`);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function workloads(): Promise<Workload[]> {
  const repeats = Number(flags.repeats);
  const reviews = path.join(folder, 'reviews.jsonl');
  if (flags.data === undefined) {
    // Generated sentences are longer than those of SST-2: 2048 of them hold about as many tokens as are said.
    await writeBenchReviews(reviews);
  }
  const base = path.join(folder, 'bert-base');
  const texts = path.join(folder, 'texts.jsonl');
  const samples = Number(flags['base-samples']);
  if (samples > 0) {
    await writeBertBase(base, 1);
    await writeTexts(texts, samples, 1);
  }
  const mini = {
    name: 'mini-sst2',
    model: path.join(projectRoot(), 'examples/mini-sst2'),
    data: flags.data ?? reviews,
    samples: 2048,
    repeats,
  };
  const large = { name: 'BERT-base shape', model: base, data: texts, samples, repeats: Math.min(repeats, 3) };
  return samples > 0 ? [mini, large] : [mini];
}

// The first run warms caches of files and is not counted.
async function measure({ name, model, data, samples, repeats }: Workload): Promise<Figures> {
  const reports: PruneReport[] = [];
  for (let repeat = -1; repeat < repeats; repeat++) {
    const out = path.join(folder, 'out');
    const settings = benchSettings({ model, data, out, samples, workers: flags.workers, device: flags.device });
    const [report] = await runPruneJob(settings, { signal: new AbortController().signal, onEvent: () => {} });
    await rm(out, { recursive: true });
    if (repeat >= 0) reports.push(report);
  }
  const pruning = ({ seconds }: PruneReport) => seconds.fisher + seconds.search + seconds.rearrange + seconds.tune;
  const all = reports.map(pruning);
  const seconds = Object.fromEntries(
    STAGES.map((stage) => [stage, spreadOf(reports.map((report) => report.seconds[stage])).median]),
  );
  const [first] = reports;
  return {
    name,
    samples: first.samples,
    tokens: Math.round(first.macsLength * first.samples),
    repeats,
    seconds: { ...(seconds as Record<(typeof STAGES)[number], number>), pruning: spreadOf(all).median },
    spread: [Math.min(...all), Math.max(...all)],
    workers: first.workers,
    deviceClass: first.deviceClass,
  };
}

function describe({ name, samples, tokens, repeats, seconds, spread, workers, deviceClass }: Figures): string {
  const stages = STAGES.map((stage) => `${stage} ${seconds[stage].toFixed(3)} s`).join(', ');
  return [
    `${name}: ${samples} samples, ${tokens} tokens, budget 0.5, median of ${repeats}`,
    `  ${stages}`,
    `  pruning ${seconds.pruning.toFixed(2)} s (${spread.map((value) => value.toFixed(2)).join(' to ')}), ${Math.round(tokens / seconds.pruning)} tokens/s`,
    `  ${workers} workers on ${deviceClass.kind} ${deviceClass.model}; ${availableParallelism()} cores of ${cpus()[0]?.model ?? 'unknown'}, load ${loadavg()[0].toFixed(2)}`,
  ].join('\n');
}
