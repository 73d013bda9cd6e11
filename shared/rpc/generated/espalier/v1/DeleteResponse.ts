// Original file: protos/espalier/v1/jobs.proto


export interface DeleteResponse {
}

export interface DeleteResponse__Output {
}
