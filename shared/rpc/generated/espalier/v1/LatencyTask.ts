// Original file: protos/espalier/v1/worker.proto

import type { ModelRef as _espalier_v1_ModelRef, ModelRef__Output as _espalier_v1_ModelRef__Output } from '../../espalier/v1/ModelRef.ts';
import type { MaskSet as _espalier_v1_MaskSet, MaskSet__Output as _espalier_v1_MaskSet__Output } from '../../espalier/v1/MaskSet.ts';

export interface LatencyTask {
  'model'?: (_espalier_v1_ModelRef | null);
  'students'?: (_espalier_v1_MaskSet)[];
  'batchSize'?: (number);
  'tokens'?: (number);
  'repeats'?: (number);
  'runtime'?: (string);
  'models'?: (_espalier_v1_ModelRef)[];
  'threads'?: (number);
  'leastSeconds'?: (number | string);
}

export interface LatencyTask__Output {
  'model': (_espalier_v1_ModelRef__Output | null);
  'students': (_espalier_v1_MaskSet__Output)[];
  'batchSize': (number);
  'tokens': (number);
  'repeats': (number);
  'runtime': (string);
  'models': (_espalier_v1_ModelRef__Output)[];
  'threads': (number);
  'leastSeconds': (number);
}
