// Original file: protos/espalier/v1/worker.proto


export interface DeviceClass {
  'kind'?: (string);
  'model'?: (string);
  'intraOpThreads'?: (number);
  'tensorflowVersion'?: (string);
  'kernels'?: (string);
  'tf32'?: (boolean);
  'memoryGb'?: (number);
}

export interface DeviceClass__Output {
  'kind': (string);
  'model': (string);
  'intraOpThreads': (number);
  'tensorflowVersion': (string);
  'kernels': (string);
  'tf32': (boolean);
  'memoryGb': (number);
}
