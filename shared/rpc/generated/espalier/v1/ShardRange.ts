// Original file: protos/espalier/v1/worker.proto


export interface ShardRange {
  'first'?: (number);
  'end'?: (number);
}

export interface ShardRange__Output {
  'first': (number);
  'end': (number);
}
