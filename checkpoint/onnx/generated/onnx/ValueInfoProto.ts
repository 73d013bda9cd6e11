// Original file: protos/onnx/onnx.proto

import type { TypeProto as _onnx_TypeProto, TypeProto__Output as _onnx_TypeProto__Output } from '../onnx/TypeProto.ts';
import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';

export interface ValueInfoProto {
  'name'?: (string);
  'type'?: (_onnx_TypeProto | null);
  'docString'?: (string);
  'metadataProps'?: (_onnx_StringStringEntryProto)[];
}

export interface ValueInfoProto__Output {
  'name': (string);
  'type': (_onnx_TypeProto__Output | null);
  'docString': (string);
  'metadataProps': (_onnx_StringStringEntryProto__Output)[];
}
