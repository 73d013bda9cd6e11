// Original file: protos/onnx/onnx.proto


export interface DeviceConfigurationProto {
  'name'?: (string);
  'numDevices'?: (number);
  'device'?: (string)[];
}

export interface DeviceConfigurationProto__Output {
  'name': (string);
  'numDevices': (number);
  'device': (string)[];
}
