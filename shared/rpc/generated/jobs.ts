import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { ArtifactsClient as _espalier_v1_ArtifactsClient, ArtifactsDefinition as _espalier_v1_ArtifactsDefinition } from './espalier/v1/Artifacts.ts';
import type { BlobChunk as _espalier_v1_BlobChunk, BlobChunk__Output as _espalier_v1_BlobChunk__Output } from './espalier/v1/BlobChunk.ts';
import type { CancelRequest as _espalier_v1_CancelRequest, CancelRequest__Output as _espalier_v1_CancelRequest__Output } from './espalier/v1/CancelRequest.ts';
import type { DeleteRequest as _espalier_v1_DeleteRequest, DeleteRequest__Output as _espalier_v1_DeleteRequest__Output } from './espalier/v1/DeleteRequest.ts';
import type { DeleteResponse as _espalier_v1_DeleteResponse, DeleteResponse__Output as _espalier_v1_DeleteResponse__Output } from './espalier/v1/DeleteResponse.ts';
import type { FileRef as _espalier_v1_FileRef, FileRef__Output as _espalier_v1_FileRef__Output } from './espalier/v1/FileRef.ts';
import type { GetBlobRequest as _espalier_v1_GetBlobRequest, GetBlobRequest__Output as _espalier_v1_GetBlobRequest__Output } from './espalier/v1/GetBlobRequest.ts';
import type { GetJobRequest as _espalier_v1_GetJobRequest, GetJobRequest__Output as _espalier_v1_GetJobRequest__Output } from './espalier/v1/GetJobRequest.ts';
import type { Job as _espalier_v1_Job, Job__Output as _espalier_v1_Job__Output } from './espalier/v1/Job.ts';
import type { JobError as _espalier_v1_JobError, JobError__Output as _espalier_v1_JobError__Output } from './espalier/v1/JobError.ts';
import type { JobEvent as _espalier_v1_JobEvent, JobEvent__Output as _espalier_v1_JobEvent__Output } from './espalier/v1/JobEvent.ts';
import type { JobResult as _espalier_v1_JobResult, JobResult__Output as _espalier_v1_JobResult__Output } from './espalier/v1/JobResult.ts';
import type { JobsClient as _espalier_v1_JobsClient, JobsDefinition as _espalier_v1_JobsDefinition } from './espalier/v1/Jobs.ts';
import type { ListRequest as _espalier_v1_ListRequest, ListRequest__Output as _espalier_v1_ListRequest__Output } from './espalier/v1/ListRequest.ts';
import type { ListResponse as _espalier_v1_ListResponse, ListResponse__Output as _espalier_v1_ListResponse__Output } from './espalier/v1/ListResponse.ts';
import type { RetryRequest as _espalier_v1_RetryRequest, RetryRequest__Output as _espalier_v1_RetryRequest__Output } from './espalier/v1/RetryRequest.ts';
import type { SubmitRequest as _espalier_v1_SubmitRequest, SubmitRequest__Output as _espalier_v1_SubmitRequest__Output } from './espalier/v1/SubmitRequest.ts';
import type { SubmitResponse as _espalier_v1_SubmitResponse, SubmitResponse__Output as _espalier_v1_SubmitResponse__Output } from './espalier/v1/SubmitResponse.ts';
import type { UploadedInput as _espalier_v1_UploadedInput, UploadedInput__Output as _espalier_v1_UploadedInput__Output } from './espalier/v1/UploadedInput.ts';
import type { WatchRequest as _espalier_v1_WatchRequest, WatchRequest__Output as _espalier_v1_WatchRequest__Output } from './espalier/v1/WatchRequest.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  espalier: {
    v1: {
      Artifacts: SubtypeConstructor<typeof grpc.Client, _espalier_v1_ArtifactsClient> & { service: _espalier_v1_ArtifactsDefinition }
      BlobChunk: MessageTypeDefinition<_espalier_v1_BlobChunk, _espalier_v1_BlobChunk__Output>
      CancelRequest: MessageTypeDefinition<_espalier_v1_CancelRequest, _espalier_v1_CancelRequest__Output>
      DeleteRequest: MessageTypeDefinition<_espalier_v1_DeleteRequest, _espalier_v1_DeleteRequest__Output>
      DeleteResponse: MessageTypeDefinition<_espalier_v1_DeleteResponse, _espalier_v1_DeleteResponse__Output>
      FileRef: MessageTypeDefinition<_espalier_v1_FileRef, _espalier_v1_FileRef__Output>
      GetBlobRequest: MessageTypeDefinition<_espalier_v1_GetBlobRequest, _espalier_v1_GetBlobRequest__Output>
      GetJobRequest: MessageTypeDefinition<_espalier_v1_GetJobRequest, _espalier_v1_GetJobRequest__Output>
      Job: MessageTypeDefinition<_espalier_v1_Job, _espalier_v1_Job__Output>
      JobError: MessageTypeDefinition<_espalier_v1_JobError, _espalier_v1_JobError__Output>
      JobEvent: MessageTypeDefinition<_espalier_v1_JobEvent, _espalier_v1_JobEvent__Output>
      JobResult: MessageTypeDefinition<_espalier_v1_JobResult, _espalier_v1_JobResult__Output>
      Jobs: SubtypeConstructor<typeof grpc.Client, _espalier_v1_JobsClient> & { service: _espalier_v1_JobsDefinition }
      ListRequest: MessageTypeDefinition<_espalier_v1_ListRequest, _espalier_v1_ListRequest__Output>
      ListResponse: MessageTypeDefinition<_espalier_v1_ListResponse, _espalier_v1_ListResponse__Output>
      RetryRequest: MessageTypeDefinition<_espalier_v1_RetryRequest, _espalier_v1_RetryRequest__Output>
      SubmitRequest: MessageTypeDefinition<_espalier_v1_SubmitRequest, _espalier_v1_SubmitRequest__Output>
      SubmitResponse: MessageTypeDefinition<_espalier_v1_SubmitResponse, _espalier_v1_SubmitResponse__Output>
      UploadedInput: MessageTypeDefinition<_espalier_v1_UploadedInput, _espalier_v1_UploadedInput__Output>
      WatchRequest: MessageTypeDefinition<_espalier_v1_WatchRequest, _espalier_v1_WatchRequest__Output>
    }
  }
}

