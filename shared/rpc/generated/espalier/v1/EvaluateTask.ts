// Original file: protos/espalier/v1/worker.proto

import type { ModelRef as _espalier_v1_ModelRef, ModelRef__Output as _espalier_v1_ModelRef__Output } from '../../espalier/v1/ModelRef.ts';
import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';
import type { ShardRange as _espalier_v1_ShardRange, ShardRange__Output as _espalier_v1_ShardRange__Output } from '../../espalier/v1/ShardRange.ts';
import type { MaskSet as _espalier_v1_MaskSet, MaskSet__Output as _espalier_v1_MaskSet__Output } from '../../espalier/v1/MaskSet.ts';

export interface EvaluateTask {
  'model'?: (_espalier_v1_ModelRef | null);
  'plan'?: (_espalier_v1_BlobRef | null);
  'shards'?: (_espalier_v1_ShardRange | null);
  'student'?: (_espalier_v1_MaskSet | null);
  'precision'?: (string);
}

export interface EvaluateTask__Output {
  'model': (_espalier_v1_ModelRef__Output | null);
  'plan': (_espalier_v1_BlobRef__Output | null);
  'shards': (_espalier_v1_ShardRange__Output | null);
  'student': (_espalier_v1_MaskSet__Output | null);
  'precision': (string);
}
