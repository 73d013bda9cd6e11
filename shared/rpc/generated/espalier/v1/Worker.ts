// Original file: protos/espalier/v1/worker.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { DescribeRequest as _espalier_v1_DescribeRequest, DescribeRequest__Output as _espalier_v1_DescribeRequest__Output } from '../../espalier/v1/DescribeRequest.ts';
import type { DescribeResponse as _espalier_v1_DescribeResponse, DescribeResponse__Output as _espalier_v1_DescribeResponse__Output } from '../../espalier/v1/DescribeResponse.ts';
import type { Frame as _espalier_v1_Frame, Frame__Output as _espalier_v1_Frame__Output } from '../../espalier/v1/Frame.ts';
import type { RunRequest as _espalier_v1_RunRequest, RunRequest__Output as _espalier_v1_RunRequest__Output } from '../../espalier/v1/RunRequest.ts';

export interface WorkerClient extends grpc.Client {
  Describe(argument: _espalier_v1_DescribeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  Describe(argument: _espalier_v1_DescribeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  Describe(argument: _espalier_v1_DescribeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  Describe(argument: _espalier_v1_DescribeRequest, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  describe(argument: _espalier_v1_DescribeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  describe(argument: _espalier_v1_DescribeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  describe(argument: _espalier_v1_DescribeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  describe(argument: _espalier_v1_DescribeRequest, callback: grpc.requestCallback<_espalier_v1_DescribeResponse__Output>): grpc.ClientUnaryCall;
  
  Run(argument: _espalier_v1_RunRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_Frame__Output>;
  Run(argument: _espalier_v1_RunRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_Frame__Output>;
  run(argument: _espalier_v1_RunRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_Frame__Output>;
  run(argument: _espalier_v1_RunRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_Frame__Output>;
  
}

export interface WorkerHandlers extends grpc.UntypedServiceImplementation {
  Describe: grpc.handleUnaryCall<_espalier_v1_DescribeRequest__Output, _espalier_v1_DescribeResponse>;
  
  Run: grpc.handleServerStreamingCall<_espalier_v1_RunRequest__Output, _espalier_v1_Frame>;
  
}

export interface WorkerDefinition extends grpc.ServiceDefinition {
  Describe: MethodDefinition<_espalier_v1_DescribeRequest, _espalier_v1_DescribeResponse, _espalier_v1_DescribeRequest__Output, _espalier_v1_DescribeResponse__Output>
  Run: MethodDefinition<_espalier_v1_RunRequest, _espalier_v1_Frame, _espalier_v1_RunRequest__Output, _espalier_v1_Frame__Output>
}
