// Original file: protos/espalier/v1/worker.proto

import type { Patch as _espalier_v1_Patch, Patch__Output as _espalier_v1_Patch__Output } from '../../espalier/v1/Patch.ts';

export interface MaskSet {
  'headMask'?: (Buffer | Uint8Array | string);
  'neuronMask'?: (Buffer | Uint8Array | string);
  'headScales'?: (Buffer | Uint8Array | string);
  'neuronScales'?: (Buffer | Uint8Array | string);
  'patches'?: (_espalier_v1_Patch)[];
}

export interface MaskSet__Output {
  'headMask': (Buffer);
  'neuronMask': (Buffer);
  'headScales': (Buffer);
  'neuronScales': (Buffer);
  'patches': (_espalier_v1_Patch__Output)[];
}
