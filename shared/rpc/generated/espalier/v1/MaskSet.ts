// Original file: protos/espalier/v1/worker.proto


export interface MaskSet {
  'headMask'?: (Buffer | Uint8Array | string);
  'neuronMask'?: (Buffer | Uint8Array | string);
  'headScales'?: (Buffer | Uint8Array | string);
  'neuronScales'?: (Buffer | Uint8Array | string);
}

export interface MaskSet__Output {
  'headMask': (Buffer);
  'neuronMask': (Buffer);
  'headScales': (Buffer);
  'neuronScales': (Buffer);
}
