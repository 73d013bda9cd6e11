// Original file: protos/onnx/onnx.proto

import type { NodeProto as _onnx_NodeProto, NodeProto__Output as _onnx_NodeProto__Output } from '../onnx/NodeProto.ts';
import type { TensorProto as _onnx_TensorProto, TensorProto__Output as _onnx_TensorProto__Output } from '../onnx/TensorProto.ts';
import type { ValueInfoProto as _onnx_ValueInfoProto, ValueInfoProto__Output as _onnx_ValueInfoProto__Output } from '../onnx/ValueInfoProto.ts';
import type { TensorAnnotation as _onnx_TensorAnnotation, TensorAnnotation__Output as _onnx_TensorAnnotation__Output } from '../onnx/TensorAnnotation.ts';
import type { SparseTensorProto as _onnx_SparseTensorProto, SparseTensorProto__Output as _onnx_SparseTensorProto__Output } from '../onnx/SparseTensorProto.ts';
import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';

export interface GraphProto {
  'node'?: (_onnx_NodeProto)[];
  'name'?: (string);
  'initializer'?: (_onnx_TensorProto)[];
  'docString'?: (string);
  'input'?: (_onnx_ValueInfoProto)[];
  'output'?: (_onnx_ValueInfoProto)[];
  'valueInfo'?: (_onnx_ValueInfoProto)[];
  'quantizationAnnotation'?: (_onnx_TensorAnnotation)[];
  'sparseInitializer'?: (_onnx_SparseTensorProto)[];
  'metadataProps'?: (_onnx_StringStringEntryProto)[];
}

export interface GraphProto__Output {
  'node': (_onnx_NodeProto__Output)[];
  'name': (string);
  'initializer': (_onnx_TensorProto__Output)[];
  'docString': (string);
  'input': (_onnx_ValueInfoProto__Output)[];
  'output': (_onnx_ValueInfoProto__Output)[];
  'valueInfo': (_onnx_ValueInfoProto__Output)[];
  'quantizationAnnotation': (_onnx_TensorAnnotation__Output)[];
  'sparseInitializer': (_onnx_SparseTensorProto__Output)[];
  'metadataProps': (_onnx_StringStringEntryProto__Output)[];
}
