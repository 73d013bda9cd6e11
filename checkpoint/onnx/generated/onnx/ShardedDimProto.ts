// Original file: protos/onnx/onnx.proto

import type { SimpleShardedDimProto as _onnx_SimpleShardedDimProto, SimpleShardedDimProto__Output as _onnx_SimpleShardedDimProto__Output } from '../onnx/SimpleShardedDimProto.ts';
import type { Long } from '@grpc/proto-loader';

export interface ShardedDimProto {
  'axis'?: (number | string | Long);
  'simpleSharding'?: (_onnx_SimpleShardedDimProto)[];
}

export interface ShardedDimProto__Output {
  'axis': (number);
  'simpleSharding': (_onnx_SimpleShardedDimProto__Output)[];
}
