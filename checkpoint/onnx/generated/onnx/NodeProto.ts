// Original file: protos/onnx/onnx.proto

import type { AttributeProto as _onnx_AttributeProto, AttributeProto__Output as _onnx_AttributeProto__Output } from '../onnx/AttributeProto.ts';
import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';
import type { NodeDeviceConfigurationProto as _onnx_NodeDeviceConfigurationProto, NodeDeviceConfigurationProto__Output as _onnx_NodeDeviceConfigurationProto__Output } from '../onnx/NodeDeviceConfigurationProto.ts';

export interface NodeProto {
  'input'?: (string)[];
  'output'?: (string)[];
  'name'?: (string);
  'opType'?: (string);
  'attribute'?: (_onnx_AttributeProto)[];
  'docString'?: (string);
  'domain'?: (string);
  'overload'?: (string);
  'metadataProps'?: (_onnx_StringStringEntryProto)[];
  'deviceConfigurations'?: (_onnx_NodeDeviceConfigurationProto)[];
}

export interface NodeProto__Output {
  'input': (string)[];
  'output': (string)[];
  'name': (string);
  'opType': (string);
  'attribute': (_onnx_AttributeProto__Output)[];
  'docString': (string);
  'domain': (string);
  'overload': (string);
  'metadataProps': (_onnx_StringStringEntryProto__Output)[];
  'deviceConfigurations': (_onnx_NodeDeviceConfigurationProto__Output)[];
}
