// Original file: protos/espalier/v1/worker.proto

import type { BlobRef as _espalier_v1_BlobRef, BlobRef__Output as _espalier_v1_BlobRef__Output } from '../../espalier/v1/BlobRef.ts';

export interface Patch {
  'layer'?: (number);
  'subLayer'?: (string);
  'blob'?: (_espalier_v1_BlobRef | null);
  'part'?: (string);
}

export interface Patch__Output {
  'layer': (number);
  'subLayer': (string);
  'blob': (_espalier_v1_BlobRef__Output | null);
  'part': (string);
}
