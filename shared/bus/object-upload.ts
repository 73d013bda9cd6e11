// Sends an object over a connection of its own: of what a thread makes the thread that holds the bus sees no byte. It is no object
// until the bucket that planned the upload names it (ObjectBucket.addSent).
import type { BusSettings, SentContent, UploadPlan } from './bus.ts';
import { JetStream } from './jet-stream.ts';
import type { Link } from './link.ts';
import { connectLink } from './nats-bus.ts';
import { ChunkSender, UploadWindow } from './object-writer.ts';

/** Plain data, for a thread. */
export interface RemoteUpload extends UploadPlan {
  readonly bus: BusSettings;
}

export class ObjectUpload {
  readonly #link: Link;
  readonly #sender: ChunkSender;

  private constructor(link: Link, { upload, mostChunkBytes }: UploadPlan) {
    this.#link = link;
    this.#sender = new ChunkSender(new UploadWindow(new JetStream(link)), upload, mostChunkBytes);
  }

  /** @throws EspalierError as `connectBus` does. */
  static async open({ bus, ...plan }: RemoteUpload): Promise<ObjectUpload> {
    return new ObjectUpload(await connectLink(bus, { name: 'espalier-upload' }), plan);
  }

  /** Sends the next bytes, which are the caller's again when it resolves. @throws EspalierError "store_full", "bus_unavailable". */
  write(bytes: Uint8Array): Promise<void> {
    return this.#sender.add(bytes);
  }

  /** Resolves when all of it is stored. @throws as `write` does. */
  async end(): Promise<Pick<SentContent, 'chunks' | 'lastMs'>> {
    await this.#sender.end();
    return { chunks: this.#sender.count, lastMs: this.#sender.lastMs };
  }

  /** Ends the connection, when what is on its way has arrived or failed. */
  async close(): Promise<void> {
    await this.#sender.settled();
    await this.#link.close();
  }
}
