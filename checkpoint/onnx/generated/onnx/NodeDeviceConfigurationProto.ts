// Original file: protos/onnx/onnx.proto

import type { ShardingSpecProto as _onnx_ShardingSpecProto, ShardingSpecProto__Output as _onnx_ShardingSpecProto__Output } from '../onnx/ShardingSpecProto.ts';

export interface NodeDeviceConfigurationProto {
  'configurationId'?: (string);
  'shardingSpec'?: (_onnx_ShardingSpecProto)[];
  'pipelineStage'?: (number);
}

export interface NodeDeviceConfigurationProto__Output {
  'configurationId': (string);
  'shardingSpec': (_onnx_ShardingSpecProto__Output)[];
  'pipelineStage': (number);
}
