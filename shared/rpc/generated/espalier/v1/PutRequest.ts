// Original file: protos/espalier/v1/blobs.proto

import type { PutHeader as _espalier_v1_PutHeader, PutHeader__Output as _espalier_v1_PutHeader__Output } from '../../espalier/v1/PutHeader.ts';

export interface PutRequest {
  'header'?: (_espalier_v1_PutHeader | null);
  'chunk'?: (Buffer | Uint8Array | string);
  'part'?: "header"|"chunk";
}

export interface PutRequest__Output {
  'header'?: (_espalier_v1_PutHeader__Output | null);
  'chunk'?: (Buffer);
  'part'?: "header"|"chunk";
}
