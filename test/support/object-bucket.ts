// The bucket of blobs in a real nats-server, as the program sees it and as it lies there.
import { createHash } from 'node:crypto';
import { after } from 'node:test';
import { connect, type JetStreamManager, type NatsConnection } from 'nats';
import type { Bus } from '../../shared/bus/bus.ts';
import { connectBus } from '../../shared/bus/nats-bus.ts';
import { NatsServer } from './nats-server.ts';

export const STREAM = 'OBJ_espalier_blobs';
export const CHUNK = 512 * 1024;

export interface ObjectBucket {
  readonly server: NatsServer;
  readonly bus: Bus;
  /** Beside the bus, for whoever looks below it. */
  readonly raw: NatsConnection;
  readonly manager: JetStreamManager;
  put(content: Uint8Array): Promise<string>;
  get(digest: string, from?: Bus): Promise<Buffer>;
  /** One an object, whole or not. */
  chunkSubjects(): Promise<string[]>;
}

/** Opens a bucket until the tests of the file are over. Call it at the top of the file. */
export async function openObjectBucket(): Promise<ObjectBucket> {
  const server = await NatsServer.start();
  let bus: Bus | undefined;
  let raw: NatsConnection | undefined;
  after(async () => {
    await raw?.close();
    await bus?.close();
    await server.remove();
  });
  bus = await connectBus(server.settings(), { create: true });
  raw = await connect({ servers: server.url, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
  const manager = await raw.jetstreamManager();
  return {
    ...{ server, bus, raw, manager },
    async put(content) {
      const digest = digestOf(content);
      await bus.objects.put(digest, content.byteLength, pieces(content));
      return digest;
    },
    async get(digest, from = bus) {
      const got: Uint8Array[] = [];
      for await (const chunk of from.objects.open(digest)) got.push(chunk);
      return Buffer.concat(got);
    },
    async chunkSubjects() {
      const { state } = await manager.streams.info(STREAM, { subjects_filter: '$O.espalier_blobs.C.>' });
      return Object.keys(state.subjects ?? {});
    },
  };
}

export const digestOf = (content: Uint8Array) => createHash('sha256').update(content).digest('hex');

/** Pieces of odd sizes, as a file or a network gives them. */
export async function* pieces(content: Uint8Array, pieceBytes = 100_001): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < content.byteLength; i += pieceBytes) yield content.subarray(i, i + pieceBytes);
}
