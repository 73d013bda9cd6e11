// Original file: protos/onnx/onnx.proto

import type { IntIntListEntryProto as _onnx_IntIntListEntryProto, IntIntListEntryProto__Output as _onnx_IntIntListEntryProto__Output } from '../onnx/IntIntListEntryProto.ts';
import type { ShardedDimProto as _onnx_ShardedDimProto, ShardedDimProto__Output as _onnx_ShardedDimProto__Output } from '../onnx/ShardedDimProto.ts';
import type { Long } from '@grpc/proto-loader';

export interface ShardingSpecProto {
  'tensorName'?: (string);
  'device'?: (number | string | Long)[];
  'indexToDeviceGroupMap'?: (_onnx_IntIntListEntryProto)[];
  'shardedDim'?: (_onnx_ShardedDimProto)[];
}

export interface ShardingSpecProto__Output {
  'tensorName': (string);
  'device': (number)[];
  'indexToDeviceGroupMap': (_onnx_IntIntListEntryProto__Output)[];
  'shardedDim': (_onnx_ShardedDimProto__Output)[];
}
