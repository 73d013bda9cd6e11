// Original file: protos/espalier/v1/worker.proto

import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';

export interface ModelRef {
  'configJson'?: (string);
  'weights'?: (_espalier_v1_BlobRef)[];
}

export interface ModelRef__Output {
  'configJson': (string);
  'weights': (_espalier_v1_BlobRef__Output)[];
}
