// Original file: protos/onnx/onnx.proto

import type { TensorProto as _onnx_TensorProto, TensorProto__Output as _onnx_TensorProto__Output } from '../onnx/TensorProto.ts';
import type { Long } from '@grpc/proto-loader';

export interface SparseTensorProto {
  'values'?: (_onnx_TensorProto | null);
  'indices'?: (_onnx_TensorProto | null);
  'dims'?: (number | string | Long)[];
}

export interface SparseTensorProto__Output {
  'values': (_onnx_TensorProto__Output | null);
  'indices': (_onnx_TensorProto__Output | null);
  'dims': (number)[];
}
