// Original file: protos/espalier/v1/worker.proto

import type { TokenGradients as _espalier_v1_TokenGradients, TokenGradients__Output as _espalier_v1_TokenGradients__Output } from '../../espalier/v1/TokenGradients.ts';

export interface TokenWeights {
  'gradients'?: (_espalier_v1_TokenGradients)[];
  'mean'?: (number | string);
}

export interface TokenWeights__Output {
  'gradients': (_espalier_v1_TokenGradients__Output)[];
  'mean': (number);
}
