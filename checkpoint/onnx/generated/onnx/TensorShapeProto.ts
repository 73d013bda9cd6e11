// Original file: protos/onnx/onnx.proto

import type { Long } from '@grpc/proto-loader';

export interface _onnx_TensorShapeProto_Dimension {
  'dimValue'?: (number | string | Long);
  'dimParam'?: (string);
  'denotation'?: (string);
  'value'?: "dimValue"|"dimParam";
}

export interface _onnx_TensorShapeProto_Dimension__Output {
  'dimValue'?: (number);
  'dimParam'?: (string);
  'denotation': (string);
  'value'?: "dimValue"|"dimParam";
}

export interface TensorShapeProto {
  'dim'?: (_onnx_TensorShapeProto_Dimension)[];
}

export interface TensorShapeProto__Output {
  'dim': (_onnx_TensorShapeProto_Dimension__Output)[];
}
