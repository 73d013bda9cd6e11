// Original file: protos/espalier/v1/jobs.proto

import type { FileRef as _espalier_v1_FileRef, FileRef__Output as _espalier_v1_FileRef__Output } from '../../espalier/v1/FileRef.ts';

export interface UploadedInput {
  'name'?: (string);
  'files'?: (_espalier_v1_FileRef)[];
}

export interface UploadedInput__Output {
  'name': (string);
  'files': (_espalier_v1_FileRef__Output)[];
}
