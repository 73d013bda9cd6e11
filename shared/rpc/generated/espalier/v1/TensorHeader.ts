// Original file: protos/espalier/v1/worker.proto

import type { Long } from '@grpc/proto-loader';

export interface TensorHeader {
  'name'?: (string);
  'dtype'?: (string);
  'shape'?: (number | string | Long)[];
}

export interface TensorHeader__Output {
  'name': (string);
  'dtype': (string);
  'shape': (number)[];
}
