// Original file: protos/espalier/v1/jobs.proto

import type { Long } from '@grpc/proto-loader';

export interface FileRef {
  'name'?: (string);
  'digest'?: (string);
  'sizeBytes'?: (number | string | Long);
}

export interface FileRef__Output {
  'name': (string);
  'digest': (string);
  'sizeBytes': (number);
}
