// Original file: protos/onnx/onnx.proto

import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';

export interface TensorAnnotation {
  'tensorName'?: (string);
  'quantParameterTensorNames'?: (_onnx_StringStringEntryProto)[];
}

export interface TensorAnnotation__Output {
  'tensorName': (string);
  'quantParameterTensorNames': (_onnx_StringStringEntryProto__Output)[];
}
