// One connection to one coordinator, and what its failures are called.
import { type Channel, type ServiceError, status } from '@grpc/grpc-js';
import { EspalierError } from '../../shared/errors.ts';
import { BlobUploader } from '../../shared/rpc/blob-upload.ts';
import { openChannel } from '../../shared/rpc/channel.ts';
import { connectionFailure } from '../../shared/rpc/connection-failure.ts';
import { type ArtifactsClient, type JobsClient, protocol } from '../../shared/rpc/protocol.ts';
import { fromStatus, saidByPeer } from '../../shared/rpc/status.ts';
import type { Tls } from '../../shared/rpc/tls.ts';

const MIB = 1024 * 1024;
/** The answer to a campaign of the most jobs. */
const MOST_RESPONSE_BYTES = 64 * MIB;

export class CoordinatorConnection {
  readonly address: string;
  readonly jobs: JobsClient;
  readonly artifacts: ArtifactsClient;
  readonly uploader: BlobUploader;
  readonly #channel: Channel;
  readonly #isSecure: boolean;
  readonly findMissing: (digests: readonly string[], deadline: number) => Promise<string[]>;

  constructor(address: string, tls: Tls | null) {
    const { channel, channelCredentials } = openChannel(address, 'coordinator', tls, {
      'grpc.max_receive_message_length': MOST_RESPONSE_BYTES,
    });
    const { Jobs, Blobs, Artifacts } = protocol();
    const shared = { channelOverride: channel };
    const blobs = new Blobs(address, channelCredentials, shared);
    this.address = address;
    this.#channel = channel;
    this.#isSecure = tls !== null;
    this.jobs = new Jobs(address, channelCredentials, shared);
    this.artifacts = new Artifacts(address, channelCredentials, shared);
    this.uploader = new BlobUploader(blobs, address);
    this.findMissing = (digests, deadline) =>
      new Promise((resolve, reject) => {
        blobs.findMissing({ digests: [...digests] }, { deadline }, (error, response) => {
          if (response === undefined) reject(error);
          else resolve(response.digests);
        });
      });
  }

  /** What a call of this connection threw, as the user is told. */
  failure(caught: unknown): EspalierError {
    const cause = caught instanceof EspalierError ? (caught.cause ?? caught) : caught;
    const error = fromStatus(caught, this.address);
    if ((cause as Partial<ServiceError> | null)?.code === status.UNIMPLEMENTED && !saidByPeer(error))
      return new EspalierError('protocol', `${this.address}: got a server without this call, expected a coordinator`, {
        cause: error,
        action: 'check the port, and that the coordinator is not of an older version',
      });
    const isTransport = error.code === 'worker_unavailable' && isUnavailable(cause);
    if (!isTransport) return error;
    return connectionFailure(this.address, cause.details, this.#isSecure, 'coordinator');
  }

  close(): void {
    this.#channel.close();
  }
}

function isUnavailable(caught: unknown): caught is ServiceError {
  const code = (caught as Partial<ServiceError> | null)?.code;
  return code === status.UNAVAILABLE || code === status.INTERNAL || code === status.UNKNOWN;
}
