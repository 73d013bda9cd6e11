// Original file: protos/espalier/v1/worker.proto

import type { Long } from '@grpc/proto-loader';

export interface BlobRef {
  'digest'?: (string);
  'sizeBytes'?: (number | string | Long);
}

export interface BlobRef__Output {
  'digest': (string);
  'sizeBytes': (number);
}
