import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { BlobsClient as _espalier_v1_BlobsClient, BlobsDefinition as _espalier_v1_BlobsDefinition } from './espalier/v1/Blobs.ts';
import type { FindMissingRequest as _espalier_v1_FindMissingRequest, FindMissingRequest__Output as _espalier_v1_FindMissingRequest__Output } from './espalier/v1/FindMissingRequest.ts';
import type { FindMissingResponse as _espalier_v1_FindMissingResponse, FindMissingResponse__Output as _espalier_v1_FindMissingResponse__Output } from './espalier/v1/FindMissingResponse.ts';
import type { PutHeader as _espalier_v1_PutHeader, PutHeader__Output as _espalier_v1_PutHeader__Output } from './espalier/v1/PutHeader.ts';
import type { PutRequest as _espalier_v1_PutRequest, PutRequest__Output as _espalier_v1_PutRequest__Output } from './espalier/v1/PutRequest.ts';
import type { PutResponse as _espalier_v1_PutResponse, PutResponse__Output as _espalier_v1_PutResponse__Output } from './espalier/v1/PutResponse.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  espalier: {
    v1: {
      Blobs: SubtypeConstructor<typeof grpc.Client, _espalier_v1_BlobsClient> & { service: _espalier_v1_BlobsDefinition }
      FindMissingRequest: MessageTypeDefinition<_espalier_v1_FindMissingRequest, _espalier_v1_FindMissingRequest__Output>
      FindMissingResponse: MessageTypeDefinition<_espalier_v1_FindMissingResponse, _espalier_v1_FindMissingResponse__Output>
      PutHeader: MessageTypeDefinition<_espalier_v1_PutHeader, _espalier_v1_PutHeader__Output>
      PutRequest: MessageTypeDefinition<_espalier_v1_PutRequest, _espalier_v1_PutRequest__Output>
      PutResponse: MessageTypeDefinition<_espalier_v1_PutResponse, _espalier_v1_PutResponse__Output>
    }
  }
}

