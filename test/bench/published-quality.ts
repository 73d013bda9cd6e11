// What the published method reaches on the development models with its systems solved exactly in float64: mean and
// sample standard deviation over seeds 0 to 4 of the score times 100, measured with its authors' functions on one H200.

export interface PublishedCell {
  readonly mean: number;
  readonly deviation: number;
}

export interface PublishedModel {
  readonly dense: number;
  readonly metric: string;
  /** By budget. */
  readonly budgets: Readonly<Record<string, PublishedCell>>;
}

const cells = (...list: [number, number][]): PublishedModel['budgets'] =>
  Object.fromEntries(
    ['0.7', '0.6', '0.5', '0.4', '0.3'].map((budget, i) => [budget, { mean: list[i][0], deviation: list[i][1] }]),
  );

export const PUBLISHED: Readonly<Record<string, PublishedModel>> = {
  'mini-sst2': {
    dense: 85.32,
    metric: 'accuracy',
    budgets: cells([85.07, 0.21], [84.7, 0.26], [84.66, 0.38], [84.04, 0.31], [82.22, 0.82]),
  },
  'distil-sst2': {
    dense: 82.0,
    metric: 'accuracy',
    budgets: cells([81.9, 0.19], [81.77, 0.21], [81.1, 0.27], [80.3, 0.31], [79.01, 2.1]),
  },
  'small-sst2': {
    dense: 83.72,
    metric: 'accuracy',
    budgets: cells([83.72, 0.27], [83.58, 0.15], [83.33, 0.24], [83.33, 0.29], [83.19, 0.38]),
  },
  'mini-mrpc': {
    dense: 70.59,
    metric: 'accuracy',
    budgets: cells([70.44, 0.51], [70.44, 0.91], [70.05, 0.21], [70.2, 1.18], [69.26, 0.62]),
  },
  'mini-stsb': {
    dense: 74.58,
    metric: 'spearman',
    budgets: cells([74.43, 0.05], [74.44, 0.05], [74.48, 0.22], [74.65, 0.29], [74.18, 0.7]),
  },
  'mini-mnli': {
    dense: 59.43,
    metric: 'accuracy',
    budgets: cells([59.14, 0.17], [59.24, 0.2], [59.26, 0.34], [58.58, 0.43], [53.57, 2.6]),
  },
  'mini-squad': {
    dense: 43.89,
    metric: 'f1',
    budgets: cells([43.03, 0.51], [42.24, 0.56], [40.09, 0.87], [34.41, 2.09], [27.35, 1.05]),
  },
};
