// Original file: protos/espalier/v1/jobs.proto


export interface GetBlobRequest {
  'digest'?: (string);
  'jobId'?: (string);
}

export interface GetBlobRequest__Output {
  'digest': (string);
  'jobId': (string);
}
