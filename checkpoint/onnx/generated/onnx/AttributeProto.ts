// Original file: protos/onnx/onnx.proto

import type { TensorProto as _onnx_TensorProto, TensorProto__Output as _onnx_TensorProto__Output } from '../onnx/TensorProto.ts';
import type { GraphProto as _onnx_GraphProto, GraphProto__Output as _onnx_GraphProto__Output } from '../onnx/GraphProto.ts';
import type { TypeProto as _onnx_TypeProto, TypeProto__Output as _onnx_TypeProto__Output } from '../onnx/TypeProto.ts';
import type { SparseTensorProto as _onnx_SparseTensorProto, SparseTensorProto__Output as _onnx_SparseTensorProto__Output } from '../onnx/SparseTensorProto.ts';
import type { Long } from '@grpc/proto-loader';

// Original file: protos/onnx/onnx.proto

export const _onnx_AttributeProto_AttributeType = {
  UNDEFINED: 'UNDEFINED',
  FLOAT: 'FLOAT',
  INT: 'INT',
  STRING: 'STRING',
  TENSOR: 'TENSOR',
  GRAPH: 'GRAPH',
  SPARSE_TENSOR: 'SPARSE_TENSOR',
  TYPE_PROTO: 'TYPE_PROTO',
  FLOATS: 'FLOATS',
  INTS: 'INTS',
  STRINGS: 'STRINGS',
  TENSORS: 'TENSORS',
  GRAPHS: 'GRAPHS',
  SPARSE_TENSORS: 'SPARSE_TENSORS',
  TYPE_PROTOS: 'TYPE_PROTOS',
} as const;

export type _onnx_AttributeProto_AttributeType =
  | 'UNDEFINED'
  | 0
  | 'FLOAT'
  | 1
  | 'INT'
  | 2
  | 'STRING'
  | 3
  | 'TENSOR'
  | 4
  | 'GRAPH'
  | 5
  | 'SPARSE_TENSOR'
  | 11
  | 'TYPE_PROTO'
  | 13
  | 'FLOATS'
  | 6
  | 'INTS'
  | 7
  | 'STRINGS'
  | 8
  | 'TENSORS'
  | 9
  | 'GRAPHS'
  | 10
  | 'SPARSE_TENSORS'
  | 12
  | 'TYPE_PROTOS'
  | 14

export type _onnx_AttributeProto_AttributeType__Output = typeof _onnx_AttributeProto_AttributeType[keyof typeof _onnx_AttributeProto_AttributeType]

export interface AttributeProto {
  'name'?: (string);
  'f'?: (number | string);
  'i'?: (number | string | Long);
  's'?: (Buffer | Uint8Array | string);
  't'?: (_onnx_TensorProto | null);
  'g'?: (_onnx_GraphProto | null);
  'floats'?: (number | string)[];
  'ints'?: (number | string | Long)[];
  'strings'?: (Buffer | Uint8Array | string)[];
  'tensors'?: (_onnx_TensorProto)[];
  'graphs'?: (_onnx_GraphProto)[];
  'docString'?: (string);
  'tp'?: (_onnx_TypeProto | null);
  'typeProtos'?: (_onnx_TypeProto)[];
  'type'?: (_onnx_AttributeProto_AttributeType);
  'refAttrName'?: (string);
  'sparseTensor'?: (_onnx_SparseTensorProto | null);
  'sparseTensors'?: (_onnx_SparseTensorProto)[];
}

export interface AttributeProto__Output {
  'name': (string);
  'f': (number);
  'i': (number);
  's': (Buffer);
  't': (_onnx_TensorProto__Output | null);
  'g': (_onnx_GraphProto__Output | null);
  'floats': (number)[];
  'ints': (number)[];
  'strings': (Buffer)[];
  'tensors': (_onnx_TensorProto__Output)[];
  'graphs': (_onnx_GraphProto__Output)[];
  'docString': (string);
  'tp': (_onnx_TypeProto__Output | null);
  'typeProtos': (_onnx_TypeProto__Output)[];
  'type': (_onnx_AttributeProto_AttributeType__Output);
  'refAttrName': (string);
  'sparseTensor': (_onnx_SparseTensorProto__Output | null);
  'sparseTensors': (_onnx_SparseTensorProto__Output)[];
}
