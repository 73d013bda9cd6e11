// Original file: protos/espalier/v1/jobs.proto


export interface BlobChunk {
  'chunk'?: (Buffer | Uint8Array | string);
}

export interface BlobChunk__Output {
  'chunk': (Buffer);
}
