// Original file: protos/espalier/v1/jobs.proto


export interface RetryRequest {
  'id'?: (string);
}

export interface RetryRequest__Output {
  'id': (string);
}
