// The flags of `npm run bench:gpus`.
import { visibleGpus } from '../../../shared/visible-gpus.ts';
import { FlagChecks, readFlags, text } from '../flag-checks.ts';
import { BERT_BASE, type SyntheticModel } from '../synthetic-model.ts';
import { PARTS, type Part } from './figures.ts';

export interface GpusBenchSettings {
  readonly parts: readonly Part[];
  /** What a worker each is started on; on a CPU as many workers. Measured are 1 to so many. */
  readonly gpus: number;
  readonly device: 'cpu' | 'gpu';
  /** Of the queue. */
  readonly jobs: number;
  readonly repeats: number;
  readonly samples: number;
  readonly sizes: Omit<SyntheticModel, 'head'>;
  /** File to write; null: none. */
  readonly json: string | null;
  readonly check: boolean;
}

const FLAGS = 'docs/performance.md lists the flags';
const MOST_GPUS = 64;

const OPTIONS = {
  parts: text(PARTS.join(',')),
  gpus: text(2),
  device: text('gpu'),
  jobs: text(8),
  repeats: text(3),
  samples: text(2048),
  layers: text(BERT_BASE.layers),
  hidden: text(BERT_BASE.hiddenSize),
  heads: text(BERT_BASE.heads),
  neurons: text(BERT_BASE.neurons),
  json: { type: 'string' },
  check: { type: 'boolean', default: false },
} as const;

/** @param env that names the GPUs which may be used, as CUDA has it.
 * @throws EspalierError "usage" that names every flag that is wrong. */
export function parseGpusBench(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): GpusBenchSettings {
  const flags = readFlags(args, OPTIONS, FLAGS);
  const checks = new FlagChecks();
  const whole = (name: Exclude<keyof typeof flags, 'json' | 'check'>, least?: number, most?: number) =>
    checks.whole(name, flags[name], least, most);
  const parts = checks.some('parts', flags.parts, PARTS);
  const { device } = flags;
  if (device !== 'cpu' && device !== 'gpu') checks.refuse('device', `"${device}"`, 'cpu or gpu');
  const gpus = whole('gpus', 2, MOST_GPUS);
  const there = visibleGpus(env).length;
  if (checks.areSound && device === 'gpu' && gpus > there)
    checks.refuse('gpus', `${gpus}`, `no more than the ${there} that may be used here`);
  const sizes = {
    layers: whole('layers'),
    hiddenSize: whole('hidden'),
    heads: whole('heads'),
    neurons: whole('neurons'),
  };
  checks.headsOf(sizes);
  const settings: GpusBenchSettings = {
    parts,
    gpus,
    device: device === 'cpu' ? 'cpu' : 'gpu',
    jobs: whole('jobs'),
    repeats: whole('repeats'),
    samples: whole('samples'),
    sizes,
    json: flags.json ?? null,
    check: flags.check,
  };
  checks.end(FLAGS);
  return settings;
}
