// Original file: protos/espalier/v1/blobs.proto


export interface PutResponse {
}

export interface PutResponse__Output {
}
