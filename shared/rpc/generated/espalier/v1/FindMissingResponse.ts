// Original file: protos/espalier/v1/blobs.proto


export interface FindMissingResponse {
  'digests'?: (string)[];
}

export interface FindMissingResponse__Output {
  'digests': (string)[];
}
