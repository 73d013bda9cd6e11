// The flags of `npm run bench:growth`.
import { FlagChecks, readFlags, text } from '../flag-checks.ts';
import type { SyntheticModel } from '../synthetic-model.ts';
import { AXES, type Axis } from './figures.ts';

export interface GrowthSettings {
  readonly axes: readonly Axis[];
  /** Values of each axis, ascending. */
  readonly points: Readonly<Record<Axis, readonly number[]>>;
  readonly sizes: Pick<SyntheticModel, 'hiddenSize' | 'heads' | 'neurons'>;
  /** Runs of each point, of which the median counts. */
  readonly repeats: number;
  readonly device: 'cpu' | 'gpu';
  /** Files and folder to write; null: none. */
  readonly json: string | null;
  readonly markdown: string | null;
  readonly charts: string | null;
  readonly check: boolean;
}

const FLAGS = 'docs/growth.md lists the flags';
const POINTS: Readonly<Record<Axis, string>> = {
  samples: '256,512,1024,2048,4096,8192,16384',
  tokens: '16,32,64,128,256',
  layers: '2,4,8,12',
  workers: '1,2,3,4',
  simulated: '8,16,32,64',
};
/** Positions of a synthetic model are 512, and its longest samples have twice the mean's tokens. */
const MOST_TOKENS = 256;

const OPTIONS = {
  axes: text(AXES.join(',')),
  samples: text(POINTS.samples),
  tokens: text(POINTS.tokens),
  layers: text(POINTS.layers),
  workers: text(POINTS.workers),
  simulated: text(POINTS.simulated),
  hidden: text(64),
  heads: text(4),
  neurons: text(256),
  repeats: text(1),
  device: text('cpu'),
  json: { type: 'string' },
  markdown: { type: 'string' },
  charts: { type: 'string' },
  check: { type: 'boolean', default: false },
} as const;

/** @throws EspalierError "usage" that names every flag that is wrong. */
export function parseGrowth(args: readonly string[]): GrowthSettings {
  const flags = readFlags(args, OPTIONS, FLAGS);
  const checks = new FlagChecks();
  const list = (axis: Axis): number[] => {
    const values = flags[axis]
      .split(',')
      .map((text) => checks.whole(axis, text, 1, axis === 'tokens' ? MOST_TOKENS : undefined));
    if (values.some((value, i) => i > 0 && value <= values[i - 1]))
      checks.refuse(axis, `"${flags[axis]}"`, 'ascending numbers');
    return values;
  };
  const axes = checks.some('axes', flags.axes, AXES);
  const { device } = flags;
  if (device !== 'cpu' && device !== 'gpu') checks.refuse('device', `"${device}"`, 'cpu or gpu');
  const sizes = {
    hiddenSize: checks.whole('hidden', flags.hidden),
    heads: checks.whole('heads', flags.heads),
    neurons: checks.whole('neurons', flags.neurons),
  };
  checks.headsOf(sizes);
  const settings: GrowthSettings = {
    axes,
    points: Object.fromEntries(AXES.map((axis) => [axis, list(axis)])) as unknown as GrowthSettings['points'],
    sizes,
    repeats: checks.whole('repeats', flags.repeats),
    device: device === 'gpu' ? 'gpu' : 'cpu',
    json: flags.json ?? null,
    markdown: flags.markdown ?? null,
    charts: flags.charts ?? null,
    check: flags.check,
  };
  checks.end(FLAGS);
  return settings;
}
