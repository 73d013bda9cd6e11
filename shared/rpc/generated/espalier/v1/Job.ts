// Original file: protos/espalier/v1/jobs.proto

import type { JobError as _espalier_v1_JobError, JobError__Output as _espalier_v1_JobError__Output } from '../../espalier/v1/JobError.ts';
import type { JobResult as _espalier_v1_JobResult, JobResult__Output as _espalier_v1_JobResult__Output } from '../../espalier/v1/JobResult.ts';

export interface Job {
  'id'?: (string);
  'campaignId'?: (string);
  'campaignName'?: (string);
  'name'?: (string);
  'state'?: (string);
  'priority'?: (number);
  'createdAt'?: (string);
  'startedAt'?: (string);
  'finishedAt'?: (string);
  'attempt'?: (number);
  'owner'?: (string);
  'cancelRequested'?: (boolean);
  'error'?: (_espalier_v1_JobError | null);
  'results'?: (_espalier_v1_JobResult)[];
  'storedStages'?: (string)[];
}

export interface Job__Output {
  'id': (string);
  'campaignId': (string);
  'campaignName': (string);
  'name': (string);
  'state': (string);
  'priority': (number);
  'createdAt': (string);
  'startedAt': (string);
  'finishedAt': (string);
  'attempt': (number);
  'owner': (string);
  'cancelRequested': (boolean);
  'error': (_espalier_v1_JobError__Output | null);
  'results': (_espalier_v1_JobResult__Output)[];
  'storedStages': (string)[];
}
