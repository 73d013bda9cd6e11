// Original file: protos/onnx/onnx.proto

import type { GraphProto as _onnx_GraphProto, GraphProto__Output as _onnx_GraphProto__Output } from '../onnx/GraphProto.ts';
import type { OperatorSetIdProto as _onnx_OperatorSetIdProto, OperatorSetIdProto__Output as _onnx_OperatorSetIdProto__Output } from '../onnx/OperatorSetIdProto.ts';
import type { StringStringEntryProto as _onnx_StringStringEntryProto, StringStringEntryProto__Output as _onnx_StringStringEntryProto__Output } from '../onnx/StringStringEntryProto.ts';
import type { TrainingInfoProto as _onnx_TrainingInfoProto, TrainingInfoProto__Output as _onnx_TrainingInfoProto__Output } from '../onnx/TrainingInfoProto.ts';
import type { FunctionProto as _onnx_FunctionProto, FunctionProto__Output as _onnx_FunctionProto__Output } from '../onnx/FunctionProto.ts';
import type { DeviceConfigurationProto as _onnx_DeviceConfigurationProto, DeviceConfigurationProto__Output as _onnx_DeviceConfigurationProto__Output } from '../onnx/DeviceConfigurationProto.ts';
import type { Long } from '@grpc/proto-loader';

export interface ModelProto {
  'irVersion'?: (number | string | Long);
  'producerName'?: (string);
  'producerVersion'?: (string);
  'domain'?: (string);
  'modelVersion'?: (number | string | Long);
  'docString'?: (string);
  'graph'?: (_onnx_GraphProto | null);
  'opsetImport'?: (_onnx_OperatorSetIdProto)[];
  'metadataProps'?: (_onnx_StringStringEntryProto)[];
  'trainingInfo'?: (_onnx_TrainingInfoProto)[];
  'functions'?: (_onnx_FunctionProto)[];
  'configuration'?: (_onnx_DeviceConfigurationProto)[];
}

export interface ModelProto__Output {
  'irVersion': (number);
  'producerName': (string);
  'producerVersion': (string);
  'domain': (string);
  'modelVersion': (number);
  'docString': (string);
  'graph': (_onnx_GraphProto__Output | null);
  'opsetImport': (_onnx_OperatorSetIdProto__Output)[];
  'metadataProps': (_onnx_StringStringEntryProto__Output)[];
  'trainingInfo': (_onnx_TrainingInfoProto__Output)[];
  'functions': (_onnx_FunctionProto__Output)[];
  'configuration': (_onnx_DeviceConfigurationProto__Output)[];
}
