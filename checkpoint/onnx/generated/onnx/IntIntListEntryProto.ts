// Original file: protos/onnx/onnx.proto

import type { Long } from '@grpc/proto-loader';

export interface IntIntListEntryProto {
  'key'?: (number | string | Long);
  'value'?: (number | string | Long)[];
}

export interface IntIntListEntryProto__Output {
  'key': (number);
  'value': (number)[];
}
