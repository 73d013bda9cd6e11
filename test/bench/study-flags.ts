// Flags that all quality studies have: what they run on, and where results go.
import { PUBLISHED } from './published-quality.ts';

export const STUDY_FLAGS = {
  models: { type: 'string' },
  data: { type: 'string' },
  results: { type: 'string' },
  table: { type: 'string' },
  seeds: { type: 'string', default: '0,1,2,3,4' },
  only: { type: 'string', default: Object.keys(PUBLISHED).join(',') },
  device: { type: 'string', default: 'auto' },
  workers: { type: 'string' },
} as const;

/** Flags of studies of the gradual method. */
export const GRADUAL_STUDY_FLAGS = {
  ...STUDY_FLAGS,
  budgets: { type: 'string', default: '0.5,0.4,0.3,0.2' },
  samples: { type: 'string', default: '2048' },
} as const;
