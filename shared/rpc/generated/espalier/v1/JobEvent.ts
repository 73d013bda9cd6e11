// Original file: protos/espalier/v1/jobs.proto

import type { Long } from '@grpc/proto-loader';

export interface JobEvent {
  'sequence'?: (number | string | Long);
  'time'?: (string);
  'attempt'?: (number);
  'eventJson'?: (string);
}

export interface JobEvent__Output {
  'sequence': (number);
  'time': (string);
  'attempt': (number);
  'eventJson': (string);
}
