// Original file: protos/onnx/onnx.proto

import type { Long } from '@grpc/proto-loader';

export interface SimpleShardedDimProto {
  'dimValue'?: (number | string | Long);
  'dimParam'?: (string);
  'numShards'?: (number | string | Long);
  'dim'?: "dimValue"|"dimParam";
}

export interface SimpleShardedDimProto__Output {
  'dimValue'?: (number);
  'dimParam'?: (string);
  'numShards': (number);
  'dim'?: "dimValue"|"dimParam";
}
