// Original file: protos/espalier/v1/jobs.proto

import type { Job as _espalier_v1_Job, Job__Output as _espalier_v1_Job__Output } from '../../espalier/v1/Job.ts';

export interface SubmitResponse {
  'campaignId'?: (string);
  'jobs'?: (_espalier_v1_Job)[];
  'created'?: (boolean);
}

export interface SubmitResponse__Output {
  'campaignId': (string);
  'jobs': (_espalier_v1_Job__Output)[];
  'created': (boolean);
}
