// Original file: protos/espalier/v1/blobs.proto


export interface FindMissingRequest {
  'digests'?: (string)[];
}

export interface FindMissingRequest__Output {
  'digests': (string)[];
}
