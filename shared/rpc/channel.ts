// Options of every connection between two parties, and the client side of one.
import { Channel, type ChannelCredentials, type ChannelOptions, credentials } from '@grpc/grpc-js';
import { hostOf } from './address.ts';
import { type BlobsClient, protocol, type WorkerClient } from './protocol.ts';
import type { Role } from './roles.ts';
import { serverNameOptions, type Tls } from './tls.ts';

const MIB = 1024 * 1024;

/** The longest timer that Node knows: a connection is never closed for being idle. */
const NEVER_MS = 2 ** 31 - 1;

/** Results flow from server to client in chunks of 1 MiB; with a window of 4 MiB they do so three times as fast as with
 * the default. Retries are the scheduler's business. A proxy from the environment must not come between two processes
 * of one machine or cluster. */
const CLIENT_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': 4 * MIB,
  'grpc.max_send_message_length': 64 * MIB,
  'grpc-node.flow_control_window': 4 * MIB,
  'grpc.keepalive_time_ms': 5_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.client_idle_timeout_ms': NEVER_MS,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.use_local_subchannel_pool': 1,
};

/** Requests hold the masks of whole models (up to 0.5 MB each, several in a latency task). */
export const SERVER_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': 64 * MIB,
  'grpc.max_send_message_length': 4 * MIB,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.max_concurrent_streams': 256,
};

/** One connection to a worker, shared by its services. Whoever opened it closes it. */
export interface WorkerConnection {
  readonly address: string;
  readonly channel: Channel;
  readonly worker: WorkerClient;
  readonly blobs: BlobsClient;
  /** Ends the connection; calls that still run fail. */
  close(): void;
}

/** Opens a connection to `host:port`, where a worker must prove with its certificate that it is one, or, without `tls`,
 * where anything may listen and listen in. Nothing is sent before the first call.
 * @param tlsName what the certificate must name; left out: the host of the address. */
export function connectWorker(
  address: string,
  tls: Tls | null = null,
  tlsName: string | null = null,
): WorkerConnection {
  const { channel, channelCredentials } = openChannel(address, 'worker', tls, {}, tlsName);
  const shared = { channelOverride: channel };
  return {
    address,
    channel,
    worker: new (protocol().Worker)(address, channelCredentials, shared),
    blobs: new (protocol().Blobs)(address, channelCredentials, shared),
    close: () => channel.close(),
  };
}

/** A channel to `host:port`, whose certificate must have the role of the peer.
 * @param changes options that are not those of CLIENT_OPTIONS. @param tlsName as `connectWorker` has it. */
export function openChannel(
  address: string,
  peer: Role,
  tls: Tls | null,
  changes: ChannelOptions = {},
  tlsName: string | null = null,
): { readonly channel: Channel; readonly channelCredentials: ChannelCredentials } {
  const host = tlsName ?? hostOf(address);
  const channelCredentials = tls === null ? credentials.createInsecure() : tls.channelCredentials(host, peer);
  const options = { ...CLIENT_OPTIONS, ...(tls === null ? {} : serverNameOptions(host, tlsName !== null)), ...changes };
  return { channel: new Channel(address, channelCredentials, options), channelCredentials };
}
