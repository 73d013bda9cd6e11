// Original file: protos/espalier/v1/jobs.proto

import type { Long } from '@grpc/proto-loader';

export interface WatchRequest {
  'id'?: (string);
  'afterSequence'?: (number | string | Long);
  'keptOnly'?: (boolean);
}

export interface WatchRequest__Output {
  'id': (string);
  'afterSequence': (number);
  'keptOnly': (boolean);
}
