// Original file: protos/espalier/v1/worker.proto

import type { ShardRange as _espalier_v1_ShardRange, ShardRange__Output as _espalier_v1_ShardRange__Output } from '../../espalier/v1/ShardRange.ts';
import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';
import type { SumNodes as _espalier_v1_SumNodes, SumNodes__Output as _espalier_v1_SumNodes__Output } from '../../espalier/v1/SumNodes.ts';

export interface SumSource {
  'shards'?: (_espalier_v1_ShardRange | null);
  'sums'?: (_espalier_v1_BlobRef | null);
  'nodes'?: (_espalier_v1_SumNodes | null);
  'source'?: "shards"|"sums"|"nodes";
}

export interface SumSource__Output {
  'shards'?: (_espalier_v1_ShardRange__Output | null);
  'sums'?: (_espalier_v1_BlobRef__Output | null);
  'nodes'?: (_espalier_v1_SumNodes__Output | null);
  'source'?: "shards"|"sums"|"nodes";
}
