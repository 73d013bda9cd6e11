// Original file: protos/espalier/v1/jobs.proto

import type { FileRef as _espalier_v1_FileRef, FileRef__Output as _espalier_v1_FileRef__Output } from '../../espalier/v1/FileRef.ts';

export interface JobResult {
  'budget'?: (string);
  'files'?: (_espalier_v1_FileRef)[];
  'reportJson'?: (string);
}

export interface JobResult__Output {
  'budget': (string);
  'files': (_espalier_v1_FileRef__Output)[];
  'reportJson': (string);
}
