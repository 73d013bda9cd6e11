// Original file: protos/onnx/onnx.proto

import type { NodeProto as _onnx_NodeProto, NodeProto__Output as _onnx_NodeProto__Output } from '../onnx/NodeProto.ts';
import type { OperatorSetIdProto as _onnx_OperatorSetIdProto, OperatorSetIdProto__Output as _onnx_OperatorSetIdProto__Output } from '../onnx/OperatorSetIdProto.ts';
import type { AttributeProto as _onnx_AttributeProto, AttributeProto__Output as _onnx_AttributeProto__Output } from '../onnx/AttributeProto.ts';
import type { ValueInfoProto as _onnx_ValueInfoProto, ValueInfoProto__Output as _onnx_ValueInfoProto__Output } from '../onnx/ValueInfoProto.ts';
import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';

export interface FunctionProto {
  'name'?: (string);
  'input'?: (string)[];
  'output'?: (string)[];
  'attribute'?: (string)[];
  'node'?: (_onnx_NodeProto)[];
  'docString'?: (string);
  'opsetImport'?: (_onnx_OperatorSetIdProto)[];
  'domain'?: (string);
  'attributeProto'?: (_onnx_AttributeProto)[];
  'valueInfo'?: (_onnx_ValueInfoProto)[];
  'overload'?: (string);
  'metadataProps'?: (_onnx_StringStringEntryProto)[];
}

export interface FunctionProto__Output {
  'name': (string);
  'input': (string)[];
  'output': (string)[];
  'attribute': (string)[];
  'node': (_onnx_NodeProto__Output)[];
  'docString': (string);
  'opsetImport': (_onnx_OperatorSetIdProto__Output)[];
  'domain': (string);
  'attributeProto': (_onnx_AttributeProto__Output)[];
  'valueInfo': (_onnx_ValueInfoProto__Output)[];
  'overload': (string);
  'metadataProps': (_onnx_StringStringEntryProto__Output)[];
}
