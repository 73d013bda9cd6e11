// Original file: protos/espalier/v1/blobs.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { FindMissingRequest as _espalier_v1_FindMissingRequest, FindMissingRequest__Output as _espalier_v1_FindMissingRequest__Output } from '../../espalier/v1/FindMissingRequest.ts';
import type { FindMissingResponse as _espalier_v1_FindMissingResponse, FindMissingResponse__Output as _espalier_v1_FindMissingResponse__Output } from '../../espalier/v1/FindMissingResponse.ts';
import type { PutRequest as _espalier_v1_PutRequest, PutRequest__Output as _espalier_v1_PutRequest__Output } from '../../espalier/v1/PutRequest.ts';
import type { PutResponse as _espalier_v1_PutResponse, PutResponse__Output as _espalier_v1_PutResponse__Output } from '../../espalier/v1/PutResponse.ts';

export interface BlobsClient extends grpc.Client {
  FindMissing(argument: _espalier_v1_FindMissingRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  FindMissing(argument: _espalier_v1_FindMissingRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  FindMissing(argument: _espalier_v1_FindMissingRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  FindMissing(argument: _espalier_v1_FindMissingRequest, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  findMissing(argument: _espalier_v1_FindMissingRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  findMissing(argument: _espalier_v1_FindMissingRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  findMissing(argument: _espalier_v1_FindMissingRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  findMissing(argument: _espalier_v1_FindMissingRequest, callback: grpc.requestCallback<_espalier_v1_FindMissingResponse__Output>): grpc.ClientUnaryCall;
  
  Put(metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  Put(metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  Put(options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  Put(callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  put(metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  put(metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  put(options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  put(callback: grpc.requestCallback<_espalier_v1_PutResponse__Output>): grpc.ClientWritableStream<_espalier_v1_PutRequest>;
  
}

export interface BlobsHandlers extends grpc.UntypedServiceImplementation {
  FindMissing: grpc.handleUnaryCall<_espalier_v1_FindMissingRequest__Output, _espalier_v1_FindMissingResponse>;
  
  Put: grpc.handleClientStreamingCall<_espalier_v1_PutRequest__Output, _espalier_v1_PutResponse>;
  
}

export interface BlobsDefinition extends grpc.ServiceDefinition {
  FindMissing: MethodDefinition<_espalier_v1_FindMissingRequest, _espalier_v1_FindMissingResponse, _espalier_v1_FindMissingRequest__Output, _espalier_v1_FindMissingResponse__Output>
  Put: MethodDefinition<_espalier_v1_PutRequest, _espalier_v1_PutResponse, _espalier_v1_PutRequest__Output, _espalier_v1_PutResponse__Output>
}
