// Settings of a benchmark's job: the published method, at half of the MACs where nothing else is said; nothing evaluated.
import { USUAL_TIMING } from '../../coordinator/job/timing-settings.ts';
import type { PruneSettings } from '../../coordinator/prune-settings.ts';

export function benchSettings(options: {
  model: string;
  data: string;
  out: string;
  samples: number;
  workers: string | undefined;
  device: string;
  budget?: number;
}): PruneSettings {
  const { model, data, out, samples, workers, device, budget = 0.5 } = options;
  if (device !== 'auto' && device !== 'cpu' && device !== 'gpu')
    throw new Error(`--device: got ${device}, expected auto, cpu or gpu`);
  return {
    model,
    data,
    evaluation: null,
    columns: {},
    budgets: [{ text: `${budget}`, value: budget }],
    out,
    force: false,
    resume: false,
    seed: 0,
    samples,
    replacement: false,
    fisherGroup: null,
    labels: 'data',
    method: 'paper',
    damping: 'ridge',
    search: 'paper',
    neuronMultiple: 1,
    macsLength: null,
    maxLength: null,
    stride: 128,
    metric: null,
    timing: USUAL_TIMING,
    dtype: null,
    workers: { local: workers === undefined ? null : Number(workers), addresses: [], device },
  };
}
