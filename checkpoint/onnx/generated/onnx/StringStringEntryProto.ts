// Original file: protos/onnx/onnx.proto


export interface StringStringEntryProto {
  'key'?: (string);
  'value'?: (string);
}

export interface StringStringEntryProto__Output {
  'key': (string);
  'value': (string);
}
