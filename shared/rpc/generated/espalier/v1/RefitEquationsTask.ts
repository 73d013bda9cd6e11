// Original file: protos/espalier/v1/worker.proto

import type { ModelRef as _espalier_v1_ModelRef, ModelRef__Output as _espalier_v1_ModelRef__Output } from '../../espalier/v1/ModelRef.ts';
import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';
import type { ShardRange as _espalier_v1_ShardRange, ShardRange__Output as _espalier_v1_ShardRange__Output } from '../../espalier/v1/ShardRange.ts';
import type { MaskSet as _espalier_v1_MaskSet, MaskSet__Output as _espalier_v1_MaskSet__Output } from '../../espalier/v1/MaskSet.ts';
import type { TokenWeights as _espalier_v1_TokenWeights, TokenWeights__Output as _espalier_v1_TokenWeights__Output } from '../../espalier/v1/TokenWeights.ts';

export interface RefitEquationsTask {
  'model'?: (_espalier_v1_ModelRef | null);
  'plan'?: (_espalier_v1_BlobRef | null);
  'shards'?: (_espalier_v1_ShardRange | null);
  'student'?: (_espalier_v1_MaskSet | null);
  'layer'?: (number);
  'subLayer'?: (string);
  'weights'?: (_espalier_v1_TokenWeights | null);
  'part'?: (string);
  'stays'?: (boolean);
}

export interface RefitEquationsTask__Output {
  'model': (_espalier_v1_ModelRef__Output | null);
  'plan': (_espalier_v1_BlobRef__Output | null);
  'shards': (_espalier_v1_ShardRange__Output | null);
  'student': (_espalier_v1_MaskSet__Output | null);
  'layer': (number);
  'subLayer': (string);
  'weights': (_espalier_v1_TokenWeights__Output | null);
  'part': (string);
  'stays': (boolean);
}
