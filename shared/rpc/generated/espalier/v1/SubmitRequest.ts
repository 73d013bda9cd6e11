// Original file: protos/espalier/v1/jobs.proto

import type { UploadedInput as _espalier_v1_UploadedInput, UploadedInput__Output as _espalier_v1_UploadedInput__Output } from '../../espalier/v1/UploadedInput.ts';

export interface SubmitRequest {
  'clientKey'?: (string);
  'campaignJson'?: (string);
  'inputs'?: (_espalier_v1_UploadedInput)[];
}

export interface SubmitRequest__Output {
  'clientKey': (string);
  'campaignJson': (string);
  'inputs': (_espalier_v1_UploadedInput__Output)[];
}
