// Original file: protos/espalier/v1/worker.proto

import type { TensorHeader as _espalier_v1_TensorHeader, TensorHeader__Output as _espalier_v1_TensorHeader__Output } from '../../espalier/v1/TensorHeader.ts';

export interface Frame {
  'header'?: (_espalier_v1_TensorHeader | null);
  'chunk'?: (Buffer | Uint8Array | string);
  'part'?: "header"|"chunk";
}

export interface Frame__Output {
  'header'?: (_espalier_v1_TensorHeader__Output | null);
  'chunk'?: (Buffer);
  'part'?: "header"|"chunk";
}
