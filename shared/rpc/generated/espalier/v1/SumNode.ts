// Original file: protos/espalier/v1/worker.proto

import type { ShardRange as _espalier_v1_ShardRange, ShardRange__Output as _espalier_v1_ShardRange__Output } from '../../espalier/v1/ShardRange.ts';
import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';

export interface SumNode {
  'shards'?: (_espalier_v1_ShardRange | null);
  'sums'?: (_espalier_v1_BlobRef | null);
}

export interface SumNode__Output {
  'shards': (_espalier_v1_ShardRange__Output | null);
  'sums': (_espalier_v1_BlobRef__Output | null);
}
