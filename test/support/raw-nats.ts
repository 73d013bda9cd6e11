// A plain connection to NATS, for tests that do what Espalier itself never does: change what is stored, and send nonsense.
import { connect, type NatsConnection } from 'nats';
import { chunkSubject, decodeInfo, objectSubject } from '../../shared/bus/object-layout.ts';
import { OBJECTS_STREAM } from '../../shared/bus/streams.ts';
import type { Cluster } from './cluster.ts';

/** Whoever opens it closes it. */
export function rawNats(cluster: Cluster): Promise<NatsConnection> {
  return connect({ servers: cluster.natsUrl, name: 'raw test' });
}

/** Flips one bit of a stored object, whose size stays. */
export async function corruptObject(connection: NatsConnection, digest: string): Promise<void> {
  const manager = await connection.jetstreamManager();
  const meta = await manager.streams.getMessage(OBJECTS_STREAM, { last_by_subj: objectSubject(digest) });
  const info = decodeInfo(meta.data);
  if (info === null) throw new Error(`no object ${digest}`);
  const subject = chunkSubject(info.upload);
  const chunks: Buffer[] = [];
  for (let next = 1; chunks.length < info.chunks; ) {
    const asked = JSON.stringify({ seq: next, next_by_subj: subject });
    const answer = await connection.request(`$JS.API.STREAM.MSG.GET.${OBJECTS_STREAM}`, asked);
    const { message } = answer.json<{ message: { seq: number; data: string } }>();
    chunks.push(Buffer.from(message.data, 'base64'));
    next = message.seq + 1;
  }
  chunks[0][chunks[0].length >> 1] ^= 1;
  await manager.streams.purge(OBJECTS_STREAM, { filter: subject });
  // Chunks are read in the order of their sequences.
  for (const chunk of chunks) await connection.jetstream().publish(subject, chunk);
}
