// The flags of `npm run bench:gpu`.
import { byteCount } from '../../../shared/setting-checks.ts';
import { LEAST_GPU_BYTES } from '../../../worker/config.ts';
import { FlagChecks, readFlags, text } from '../flag-checks.ts';
import { BERT_BASE, type SyntheticModel } from '../synthetic-model.ts';
import { STAGES, type Stage } from './figures.ts';
import { WORKLOADS, type WorkloadName } from './workloads.ts';

export interface GpuBenchSettings {
  readonly stages: readonly Stage[];
  readonly workloads: readonly WorkloadName[];
  readonly repeats: number;
  readonly samples: number;
  readonly device: 'auto' | 'cpu' | 'gpu';
  readonly sizes: Omit<SyntheticModel, 'head'>;
  /** What TensorFlow may take of the GPU's memory, as a worker's setting has it; null: all of it. */
  readonly gpuMemory: string | null;
  /** Measure each stage once more, by operation. */
  readonly profile: boolean;
  /** File to write; null: none. */
  readonly json: string | null;
  /** File of an earlier run; null: none. */
  readonly baseline: string | null;
}

const FLAGS = 'docs/performance.md lists the flags';
const DEVICES = ['auto', 'cpu', 'gpu'] as const;

const OPTIONS = {
  stages: text(STAGES.join(',')),
  workloads: text(WORKLOADS.join(',')),
  repeats: text(5),
  samples: text(2048),
  device: text('auto'),
  layers: text(BERT_BASE.layers),
  hidden: text(BERT_BASE.hiddenSize),
  heads: text(BERT_BASE.heads),
  neurons: text(BERT_BASE.neurons),
  profile: { type: 'boolean', default: false },
  'gpu-memory': { type: 'string' },
  json: { type: 'string' },
  baseline: { type: 'string' },
} as const;

/** @throws EspalierError "usage" that names every flag that is wrong. */
export function parseGpuBench(args: readonly string[]): GpuBenchSettings {
  const flags = readFlags(args, OPTIONS, FLAGS);
  const checks = new FlagChecks();
  const whole = (name: 'repeats' | 'samples' | 'layers' | 'hidden' | 'heads' | 'neurons') =>
    checks.whole(name, flags[name]);
  const device = DEVICES.find((known) => known === flags.device);
  if (device === undefined) checks.refuse('device', `"${flags.device}"`, DEVICES.join(', '));
  const sizes = {
    layers: whole('layers'),
    hiddenSize: whole('hidden'),
    heads: whole('heads'),
    neurons: whole('neurons'),
  };
  checks.headsOf(sizes);
  const settings = {
    stages: checks.some('stages', flags.stages, STAGES),
    workloads: checks.some('workloads', flags.workloads, WORKLOADS),
    repeats: whole('repeats'),
    samples: whole('samples'),
    device: device ?? 'auto',
    sizes,
    profile: flags.profile,
    gpuMemory: flags['gpu-memory'] ?? null,
    json: flags.json ?? null,
    baseline: flags.baseline ?? null,
  };
  const { gpuMemory } = settings;
  const memoryExpected = gpuMemory === null ? null : byteCount(LEAST_GPU_BYTES)(gpuMemory);
  if (memoryExpected !== null) checks.refuse('gpu-memory', `"${gpuMemory}"`, memoryExpected);
  checks.end(FLAGS);
  return settings;
}
