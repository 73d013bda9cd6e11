// Original file: protos/onnx/onnx.proto

import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';
import type { Long } from '@grpc/proto-loader';

// Original file: protos/onnx/onnx.proto

export const _onnx_TensorProto_DataLocation = {
  DEFAULT: 'DEFAULT',
  EXTERNAL: 'EXTERNAL',
} as const;

export type _onnx_TensorProto_DataLocation =
  | 'DEFAULT'
  | 0
  | 'EXTERNAL'
  | 1

export type _onnx_TensorProto_DataLocation__Output = typeof _onnx_TensorProto_DataLocation[keyof typeof _onnx_TensorProto_DataLocation]

// Original file: protos/onnx/onnx.proto

export const _onnx_TensorProto_DataType = {
  UNDEFINED: 'UNDEFINED',
  FLOAT: 'FLOAT',
  UINT8: 'UINT8',
  INT8: 'INT8',
  UINT16: 'UINT16',
  INT16: 'INT16',
  INT32: 'INT32',
  INT64: 'INT64',
  STRING: 'STRING',
  BOOL: 'BOOL',
  FLOAT16: 'FLOAT16',
  DOUBLE: 'DOUBLE',
  UINT32: 'UINT32',
  UINT64: 'UINT64',
  COMPLEX64: 'COMPLEX64',
  COMPLEX128: 'COMPLEX128',
  BFLOAT16: 'BFLOAT16',
  FLOAT8E4M3FN: 'FLOAT8E4M3FN',
  FLOAT8E4M3FNUZ: 'FLOAT8E4M3FNUZ',
  FLOAT8E5M2: 'FLOAT8E5M2',
  FLOAT8E5M2FNUZ: 'FLOAT8E5M2FNUZ',
  UINT4: 'UINT4',
  INT4: 'INT4',
  FLOAT4E2M1: 'FLOAT4E2M1',
  FLOAT8E8M0: 'FLOAT8E8M0',
  UINT2: 'UINT2',
  INT2: 'INT2',
  FLOAT6E2M3: 'FLOAT6E2M3',
  FLOAT6E3M2: 'FLOAT6E3M2',
} as const;

export type _onnx_TensorProto_DataType =
  | 'UNDEFINED'
  | 0
  | 'FLOAT'
  | 1
  | 'UINT8'
  | 2
  | 'INT8'
  | 3
  | 'UINT16'
  | 4
  | 'INT16'
  | 5
  | 'INT32'
  | 6
  | 'INT64'
  | 7
  | 'STRING'
  | 8
  | 'BOOL'
  | 9
  | 'FLOAT16'
  | 10
  | 'DOUBLE'
  | 11
  | 'UINT32'
  | 12
  | 'UINT64'
  | 13
  | 'COMPLEX64'
  | 14
  | 'COMPLEX128'
  | 15
  | 'BFLOAT16'
  | 16
  | 'FLOAT8E4M3FN'
  | 17
  | 'FLOAT8E4M3FNUZ'
  | 18
  | 'FLOAT8E5M2'
  | 19
  | 'FLOAT8E5M2FNUZ'
  | 20
  | 'UINT4'
  | 21
  | 'INT4'
  | 22
  | 'FLOAT4E2M1'
  | 23
  | 'FLOAT8E8M0'
  | 24
  | 'UINT2'
  | 25
  | 'INT2'
  | 26
  | 'FLOAT6E2M3'
  | 27
  | 'FLOAT6E3M2'
  | 28

export type _onnx_TensorProto_DataType__Output = typeof _onnx_TensorProto_DataType[keyof typeof _onnx_TensorProto_DataType]

export interface _onnx_TensorProto_Segment {
  'begin'?: (number | string | Long);
  'end'?: (number | string | Long);
}

export interface _onnx_TensorProto_Segment__Output {
  'begin': (number);
  'end': (number);
}

export interface TensorProto {
  'dims'?: (number | string | Long)[];
  'dataType'?: (number);
  'segment'?: (_onnx_TensorProto_Segment | null);
  'floatData'?: (number | string)[];
  'int32Data'?: (number)[];
  'stringData'?: (Buffer | Uint8Array | string)[];
  'int64Data'?: (number | string | Long)[];
  'name'?: (string);
  'rawData'?: (Buffer | Uint8Array | string);
  'doubleData'?: (number | string)[];
  'uint64Data'?: (number | string | Long)[];
  'docString'?: (string);
  'externalData'?: (_onnx_StringStringEntryProto)[];
  'dataLocation'?: (_onnx_TensorProto_DataLocation);
  'metadataProps'?: (_onnx_StringStringEntryProto)[];
}

export interface TensorProto__Output {
  'dims': (number)[];
  'dataType': (number);
  'segment': (_onnx_TensorProto_Segment__Output | null);
  'floatData': (number)[];
  'int32Data': (number)[];
  'stringData': (Buffer)[];
  'int64Data': (number)[];
  'name': (string);
  'rawData': (Buffer);
  'doubleData': (number)[];
  'uint64Data': (number)[];
  'docString': (string);
  'externalData': (_onnx_StringStringEntryProto__Output)[];
  'dataLocation': (_onnx_TensorProto_DataLocation__Output);
  'metadataProps': (_onnx_StringStringEntryProto__Output)[];
}
