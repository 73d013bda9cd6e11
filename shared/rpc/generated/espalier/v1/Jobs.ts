// Original file: protos/espalier/v1/jobs.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { CancelRequest as _espalier_v1_CancelRequest, CancelRequest__Output as _espalier_v1_CancelRequest__Output } from '../../espalier/v1/CancelRequest.ts';
import type { DeleteRequest as _espalier_v1_DeleteRequest, DeleteRequest__Output as _espalier_v1_DeleteRequest__Output } from '../../espalier/v1/DeleteRequest.ts';
import type { DeleteResponse as _espalier_v1_DeleteResponse, DeleteResponse__Output as _espalier_v1_DeleteResponse__Output } from '../../espalier/v1/DeleteResponse.ts';
import type { GetJobRequest as _espalier_v1_GetJobRequest, GetJobRequest__Output as _espalier_v1_GetJobRequest__Output } from '../../espalier/v1/GetJobRequest.ts';
import type { Job as _espalier_v1_Job, Job__Output as _espalier_v1_Job__Output } from '../../espalier/v1/Job.ts';
import type { JobEvent as _espalier_v1_JobEvent, JobEvent__Output as _espalier_v1_JobEvent__Output } from '../../espalier/v1/JobEvent.ts';
import type { ListRequest as _espalier_v1_ListRequest, ListRequest__Output as _espalier_v1_ListRequest__Output } from '../../espalier/v1/ListRequest.ts';
import type { ListResponse as _espalier_v1_ListResponse, ListResponse__Output as _espalier_v1_ListResponse__Output } from '../../espalier/v1/ListResponse.ts';
import type { RetryRequest as _espalier_v1_RetryRequest, RetryRequest__Output as _espalier_v1_RetryRequest__Output } from '../../espalier/v1/RetryRequest.ts';
import type { SubmitRequest as _espalier_v1_SubmitRequest, SubmitRequest__Output as _espalier_v1_SubmitRequest__Output } from '../../espalier/v1/SubmitRequest.ts';
import type { SubmitResponse as _espalier_v1_SubmitResponse, SubmitResponse__Output as _espalier_v1_SubmitResponse__Output } from '../../espalier/v1/SubmitResponse.ts';
import type { WatchRequest as _espalier_v1_WatchRequest, WatchRequest__Output as _espalier_v1_WatchRequest__Output } from '../../espalier/v1/WatchRequest.ts';

export interface JobsClient extends grpc.Client {
  Cancel(argument: _espalier_v1_CancelRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Cancel(argument: _espalier_v1_CancelRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Cancel(argument: _espalier_v1_CancelRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Cancel(argument: _espalier_v1_CancelRequest, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  cancel(argument: _espalier_v1_CancelRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  cancel(argument: _espalier_v1_CancelRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  cancel(argument: _espalier_v1_CancelRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  cancel(argument: _espalier_v1_CancelRequest, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  
  Delete(argument: _espalier_v1_DeleteRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  Delete(argument: _espalier_v1_DeleteRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  Delete(argument: _espalier_v1_DeleteRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  Delete(argument: _espalier_v1_DeleteRequest, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  delete(argument: _espalier_v1_DeleteRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  delete(argument: _espalier_v1_DeleteRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  delete(argument: _espalier_v1_DeleteRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  delete(argument: _espalier_v1_DeleteRequest, callback: grpc.requestCallback<_espalier_v1_DeleteResponse__Output>): grpc.ClientUnaryCall;
  
  Get(argument: _espalier_v1_GetJobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Get(argument: _espalier_v1_GetJobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Get(argument: _espalier_v1_GetJobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Get(argument: _espalier_v1_GetJobRequest, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _espalier_v1_GetJobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _espalier_v1_GetJobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _espalier_v1_GetJobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _espalier_v1_GetJobRequest, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  
  List(argument: _espalier_v1_ListRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _espalier_v1_ListRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _espalier_v1_ListRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _espalier_v1_ListRequest, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _espalier_v1_ListRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _espalier_v1_ListRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _espalier_v1_ListRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _espalier_v1_ListRequest, callback: grpc.requestCallback<_espalier_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  
  Retry(argument: _espalier_v1_RetryRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Retry(argument: _espalier_v1_RetryRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Retry(argument: _espalier_v1_RetryRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  Retry(argument: _espalier_v1_RetryRequest, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  retry(argument: _espalier_v1_RetryRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  retry(argument: _espalier_v1_RetryRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  retry(argument: _espalier_v1_RetryRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  retry(argument: _espalier_v1_RetryRequest, callback: grpc.requestCallback<_espalier_v1_Job__Output>): grpc.ClientUnaryCall;
  
  Submit(argument: _espalier_v1_SubmitRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  Submit(argument: _espalier_v1_SubmitRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  Submit(argument: _espalier_v1_SubmitRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  Submit(argument: _espalier_v1_SubmitRequest, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  submit(argument: _espalier_v1_SubmitRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  submit(argument: _espalier_v1_SubmitRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  submit(argument: _espalier_v1_SubmitRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  submit(argument: _espalier_v1_SubmitRequest, callback: grpc.requestCallback<_espalier_v1_SubmitResponse__Output>): grpc.ClientUnaryCall;
  
  Watch(argument: _espalier_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_JobEvent__Output>;
  Watch(argument: _espalier_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_JobEvent__Output>;
  watch(argument: _espalier_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_JobEvent__Output>;
  watch(argument: _espalier_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_JobEvent__Output>;
  
}

export interface JobsHandlers extends grpc.UntypedServiceImplementation {
  Cancel: grpc.handleUnaryCall<_espalier_v1_CancelRequest__Output, _espalier_v1_Job>;
  
  Delete: grpc.handleUnaryCall<_espalier_v1_DeleteRequest__Output, _espalier_v1_DeleteResponse>;
  
  Get: grpc.handleUnaryCall<_espalier_v1_GetJobRequest__Output, _espalier_v1_Job>;
  
  List: grpc.handleUnaryCall<_espalier_v1_ListRequest__Output, _espalier_v1_ListResponse>;
  
  Retry: grpc.handleUnaryCall<_espalier_v1_RetryRequest__Output, _espalier_v1_Job>;
  
  Submit: grpc.handleUnaryCall<_espalier_v1_SubmitRequest__Output, _espalier_v1_SubmitResponse>;
  
  Watch: grpc.handleServerStreamingCall<_espalier_v1_WatchRequest__Output, _espalier_v1_JobEvent>;
  
}

export interface JobsDefinition extends grpc.ServiceDefinition {
  Cancel: MethodDefinition<_espalier_v1_CancelRequest, _espalier_v1_Job, _espalier_v1_CancelRequest__Output, _espalier_v1_Job__Output>
  Delete: MethodDefinition<_espalier_v1_DeleteRequest, _espalier_v1_DeleteResponse, _espalier_v1_DeleteRequest__Output, _espalier_v1_DeleteResponse__Output>
  Get: MethodDefinition<_espalier_v1_GetJobRequest, _espalier_v1_Job, _espalier_v1_GetJobRequest__Output, _espalier_v1_Job__Output>
  List: MethodDefinition<_espalier_v1_ListRequest, _espalier_v1_ListResponse, _espalier_v1_ListRequest__Output, _espalier_v1_ListResponse__Output>
  Retry: MethodDefinition<_espalier_v1_RetryRequest, _espalier_v1_Job, _espalier_v1_RetryRequest__Output, _espalier_v1_Job__Output>
  Submit: MethodDefinition<_espalier_v1_SubmitRequest, _espalier_v1_SubmitResponse, _espalier_v1_SubmitRequest__Output, _espalier_v1_SubmitResponse__Output>
  Watch: MethodDefinition<_espalier_v1_WatchRequest, _espalier_v1_JobEvent, _espalier_v1_WatchRequest__Output, _espalier_v1_JobEvent__Output>
}
