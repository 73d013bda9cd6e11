// Original file: protos/espalier/v1/jobs.proto

import type { Job as _espalier_v1_Job, Job__Output as _espalier_v1_Job__Output } from '../../espalier/v1/Job.ts';

export interface ListResponse {
  'jobs'?: (_espalier_v1_Job)[];
  'nextPageToken'?: (string);
}

export interface ListResponse__Output {
  'jobs': (_espalier_v1_Job__Output)[];
  'nextPageToken': (string);
}
