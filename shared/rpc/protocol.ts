// The protocol as this process speaks it: loads the .proto files once and hands out the service definitions, typed. The
// types under generated/ come from the same files by proto-loader-gen-types (see generate-types.sh).

import path from 'node:path';
import { type GrpcObject, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { projectRoot } from '../project-root.ts';
import type { ProtoGrpcType as BlobsProtocol } from './generated/blobs.ts';
import type { ProtoGrpcType as JobsProtocol } from './generated/jobs.ts';
import type { ProtoGrpcType as WorkerProtocol } from './generated/worker.ts';

/** Raised with every change that an older peer would misread. */
export const PROTOCOL_VERSION = 8;

/** Largest payload of one message of a stream. */
export const CHUNK_BYTES = 1024 * 1024;

export type { ArtifactsClient, ArtifactsHandlers } from './generated/espalier/v1/Artifacts.ts';
/** As sent: fields may be left out. */
export type { BlobRef } from './generated/espalier/v1/BlobRef.ts';
export type { BlobsClient, BlobsHandlers } from './generated/espalier/v1/Blobs.ts';
export type { DescribeResponse__Output as WorkerDescription } from './generated/espalier/v1/DescribeResponse.ts';
/** As received: every field is there. */
export type { DeviceClass__Output as DeviceClass } from './generated/espalier/v1/DeviceClass.ts';
export type { JobsClient, JobsHandlers } from './generated/espalier/v1/Jobs.ts';
export type {
  RunRequest as RunRequestBody,
  RunRequest__Output as RunRequest,
} from './generated/espalier/v1/RunRequest.ts';
export type { WorkerClient, WorkerHandlers } from './generated/espalier/v1/Worker.ts';

const PROTO_FILES = ['worker', 'blobs', 'jobs'].map((name) => `espalier/v1/${name}.proto`);

type Protocol = WorkerProtocol['espalier']['v1'] & BlobsProtocol['espalier']['v1'] & JobsProtocol['espalier']['v1'];

let definition: PackageDefinition | undefined;
let loaded: Protocol | undefined;

/** All services and messages as the .proto files describe them; read by the first call. */
export function protocolDefinition(): PackageDefinition {
  definition ??= loadSync(PROTO_FILES, {
    includeDirs: [path.join(projectRoot(), 'protos')],
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  });
  return definition;
}

/** The services `Worker`, `Blobs`, `Jobs` and `Artifacts`. */
export function protocol(): Protocol {
  if (loaded === undefined) {
    const { v1 } = loadPackageDefinition(protocolDefinition()).espalier as GrpcObject;
    loaded = v1 as unknown as Protocol;
  }
  return loaded;
}
