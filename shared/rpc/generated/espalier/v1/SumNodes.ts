// Original file: protos/espalier/v1/worker.proto

import type { SumNode as _espalier_v1_SumNode, SumNode__Output as _espalier_v1_SumNode__Output } from '../../espalier/v1/SumNode.ts';

export interface SumNodes {
  'nodes'?: (_espalier_v1_SumNode)[];
}

export interface SumNodes__Output {
  'nodes': (_espalier_v1_SumNode__Output)[];
}
