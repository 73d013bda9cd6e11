// Original file: protos/espalier/v1/jobs.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { BlobChunk as _espalier_v1_BlobChunk, BlobChunk__Output as _espalier_v1_BlobChunk__Output } from '../../espalier/v1/BlobChunk.ts';
import type { GetBlobRequest as _espalier_v1_GetBlobRequest, GetBlobRequest__Output as _espalier_v1_GetBlobRequest__Output } from '../../espalier/v1/GetBlobRequest.ts';

export interface ArtifactsClient extends grpc.Client {
  Get(argument: _espalier_v1_GetBlobRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_BlobChunk__Output>;
  Get(argument: _espalier_v1_GetBlobRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_BlobChunk__Output>;
  get(argument: _espalier_v1_GetBlobRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_BlobChunk__Output>;
  get(argument: _espalier_v1_GetBlobRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_espalier_v1_BlobChunk__Output>;
  
}

export interface ArtifactsHandlers extends grpc.UntypedServiceImplementation {
  Get: grpc.handleServerStreamingCall<_espalier_v1_GetBlobRequest__Output, _espalier_v1_BlobChunk>;
  
}

export interface ArtifactsDefinition extends grpc.ServiceDefinition {
  Get: MethodDefinition<_espalier_v1_GetBlobRequest, _espalier_v1_BlobChunk, _espalier_v1_GetBlobRequest__Output, _espalier_v1_BlobChunk__Output>
}
