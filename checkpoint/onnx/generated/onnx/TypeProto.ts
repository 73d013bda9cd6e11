// Original file: protos/onnx/onnx.proto

import type { TensorShapeProto as _onnx_TensorShapeProto, TensorShapeProto__Output as _onnx_TensorShapeProto__Output } from '../onnx/TensorShapeProto.ts';
import type { TypeProto as _onnx_TypeProto, TypeProto__Output as _onnx_TypeProto__Output } from '../onnx/TypeProto.ts';

export interface _onnx_TypeProto_Map {
  'keyType'?: (number);
  'valueType'?: (_onnx_TypeProto | null);
}

export interface _onnx_TypeProto_Map__Output {
  'keyType': (number);
  'valueType': (_onnx_TypeProto__Output | null);
}

export interface _onnx_TypeProto_Opaque {
  'domain'?: (string);
  'name'?: (string);
}

export interface _onnx_TypeProto_Opaque__Output {
  'domain': (string);
  'name': (string);
}

export interface _onnx_TypeProto_Optional {
  'elemType'?: (_onnx_TypeProto | null);
}

export interface _onnx_TypeProto_Optional__Output {
  'elemType': (_onnx_TypeProto__Output | null);
}

export interface _onnx_TypeProto_Sequence {
  'elemType'?: (_onnx_TypeProto | null);
}

export interface _onnx_TypeProto_Sequence__Output {
  'elemType': (_onnx_TypeProto__Output | null);
}

export interface _onnx_TypeProto_SparseTensor {
  'elemType'?: (number);
  'shape'?: (_onnx_TensorShapeProto | null);
}

export interface _onnx_TypeProto_SparseTensor__Output {
  'elemType': (number);
  'shape': (_onnx_TensorShapeProto__Output | null);
}

export interface _onnx_TypeProto_Tensor {
  'elemType'?: (number);
  'shape'?: (_onnx_TensorShapeProto | null);
}

export interface _onnx_TypeProto_Tensor__Output {
  'elemType': (number);
  'shape': (_onnx_TensorShapeProto__Output | null);
}

export interface TypeProto {
  'tensorType'?: (_onnx_TypeProto_Tensor | null);
  'sequenceType'?: (_onnx_TypeProto_Sequence | null);
  'mapType'?: (_onnx_TypeProto_Map | null);
  'denotation'?: (string);
  'opaqueType'?: (_onnx_TypeProto_Opaque | null);
  'sparseTensorType'?: (_onnx_TypeProto_SparseTensor | null);
  'optionalType'?: (_onnx_TypeProto_Optional | null);
  'value'?: "tensorType"|"sequenceType"|"mapType"|"optionalType"|"sparseTensorType"|"opaqueType";
}

export interface TypeProto__Output {
  'tensorType'?: (_onnx_TypeProto_Tensor__Output | null);
  'sequenceType'?: (_onnx_TypeProto_Sequence__Output | null);
  'mapType'?: (_onnx_TypeProto_Map__Output | null);
  'denotation': (string);
  'opaqueType'?: (_onnx_TypeProto_Opaque__Output | null);
  'sparseTensorType'?: (_onnx_TypeProto_SparseTensor__Output | null);
  'optionalType'?: (_onnx_TypeProto_Optional__Output | null);
  'value'?: "tensorType"|"sequenceType"|"mapType"|"optionalType"|"sparseTensorType"|"opaqueType";
}
