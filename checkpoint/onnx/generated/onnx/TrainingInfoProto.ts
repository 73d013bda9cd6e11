// Original file: protos/onnx/onnx.proto

import type { GraphProto as _onnx_GraphProto, GraphProto__Output as _onnx_GraphProto__Output } from '../onnx/GraphProto.ts';
import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';

export interface TrainingInfoProto {
  'initialization'?: (_onnx_GraphProto | null);
  'algorithm'?: (_onnx_GraphProto | null);
  'initializationBinding'?: (_onnx_StringStringEntryProto)[];
  'updateBinding'?: (_onnx_StringStringEntryProto)[];
}

export interface TrainingInfoProto__Output {
  'initialization': (_onnx_GraphProto__Output | null);
  'algorithm': (_onnx_GraphProto__Output | null);
  'initializationBinding': (_onnx_StringStringEntryProto__Output)[];
  'updateBinding': (_onnx_StringStringEntryProto__Output)[];
}
