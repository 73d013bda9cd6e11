// Original file: protos/espalier/v1/jobs.proto


export interface JobError {
  'code'?: (string);
  'message'?: (string);
  'action'?: (string);
}

export interface JobError__Output {
  'code': (string);
  'message': (string);
  'action': (string);
}
