// Original file: protos/espalier/v1/blobs.proto

import type { Long } from '@grpc/proto-loader';

export interface PutHeader {
  'digest'?: (string);
  'sizeBytes'?: (number | string | Long);
}

export interface PutHeader__Output {
  'digest': (string);
  'sizeBytes': (number);
}
