// Original file: protos/espalier/v1/jobs.proto


export interface DeleteRequest {
  'id'?: (string);
}

export interface DeleteRequest__Output {
  'id': (string);
}
