// The jobs of each curve: one size changes, the others stay.
import type { MemoryCase } from '../../integration/memory/memory-messages.ts';
import type { SyntheticModel } from '../synthetic-model.ts';
import type { Axis } from './figures.ts';
import type { GrowthSettings } from './settings.ts';

export interface GrowthJob {
  readonly model: SyntheticModel;
  readonly samples: number;
  /** Mean tokens of a sample. */
  readonly tokens: number;
  readonly workers: number;
}

/** Where an axis says nothing else. The curve over workers has more samples, so that there is work to share. */
const USUAL = { samples: 512, tokens: 32, layers: 2, workers: 1 };
const SHARED_SAMPLES = 4096;

export function curvePoints(axis: Axis, settings: GrowthSettings): GrowthJob[] {
  const { hiddenSize, heads, neurons } = settings.sizes;
  const job = (changed: Partial<typeof USUAL>): GrowthJob => {
    const { layers, ...rest } = { ...USUAL, ...changed };
    return { ...rest, model: { layers, hiddenSize, heads, neurons, head: 'SequenceClassification' } };
  };
  const samples = axis === 'workers' ? { samples: SHARED_SAMPLES } : {};
  const size = axis === 'simulated' ? 'workers' : axis;
  return settings.points[axis].map((value) => job({ ...samples, [size]: value }));
}

/** A job of BERT-base's depth and a third of its width, in as many shards as the most workers want. */
export function simulatedCase({ workers }: GrowthJob): MemoryCase {
  return { ...{ hiddenSize: 256, layers: 12, rows: 256, shards: 256 }, ...{ workers, jobs: 1, method: 'paper' } };
}
