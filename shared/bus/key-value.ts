// A bucket in the layout of NATS key-value stores: one message a key, on `$KV.<bucket>.<key>`; a key's revision is the
// sequence of its message, and compare-and-set is the server's check of it.
import { EspalierError } from '../errors.ts';
import type { KeyEntry, KeyValueBucket, StoredEntry, StoreUsage, WatchRestart } from './bus.ts';
import type { JetStream } from './jet-stream.ts';
import type { Headers, LinkMessage } from './link.ts';
import { readOrdered } from './ordered-reader.ts';
import { streamUsage } from './stream-usage.ts';

// Watchers that were away for longer than that see the loss of a key only by asking for it.
const DELETED_SECONDS = 86_400;
const KEY = /^[A-Za-z0-9_=/-]+(\.[A-Za-z0-9_=/-]+)*$/;

export class NatsKeyValue implements KeyValueBucket {
  readonly #jetStream: JetStream;
  readonly #stream: string;
  readonly #prefix: string;
  /** Highest revision of its own writes: a watch may be behind them. */
  #written = 0;

  constructor(jetStream: JetStream, bucket: string) {
    this.#jetStream = jetStream;
    this.#stream = `KV_${bucket}`;
    this.#prefix = `$KV.${bucket}.`;
  }

  async get(key: string): Promise<StoredEntry | null> {
    const found = await this.#newest(key);
    return found === null || found.value === null ? null : found;
  }

  async create(key: string, value: Uint8Array): Promise<number | null> {
    const subject = this.#subject(key);
    const revision = await this.#store(subject, value, 0);
    if (revision !== null) return revision;
    // A mark of a deleted key may be there.
    const found = await this.#newest(key);
    if (found !== null && found.value !== null) return null;
    return this.#store(subject, value, found?.revision ?? 0);
  }

  update(key: string, value: Uint8Array, revision: number): Promise<number | null> {
    return this.#store(this.#subject(key), value, revision);
  }

  async delete(key: string, revision: number): Promise<boolean> {
    const headers = { 'KV-Operation': 'DEL', 'Nats-TTL': `${DELETED_SECONDS}s` };
    const mark = await this.#store(this.#subject(key), new Uint8Array(), revision, headers);
    return mark !== null;
  }

  watch(
    prefix: string,
    onEntry: (entry: KeyEntry) => void,
    signal: AbortSignal,
    onRestart?: WatchRestart,
  ): Promise<void> {
    if (prefix !== '' && (!prefix.endsWith('.') || !KEY.test(prefix.slice(0, -1))))
      throw new EspalierError('internal', `got prefix ${prefix}, expected one of whole words that ends with a dot`);
    return new Promise((resolve, reject) => {
      let isRestart = false;
      // Until all that were there have been told, a deletion is news only of a key that was told already.
      let toldFirst: Set<string> | null = new Set();
      const read = {
        stream: this.#stream,
        subject: `${this.#prefix}${prefix}>`,
        from: 'newest' as const,
        known: () => this.#written,
        onMessage: (revision: number, message: LinkMessage) => {
          const key = message.subject.slice(this.#prefix.length);
          const value = isDeletion(message) ? null : message.data;
          if (value === null && toldFirst?.has(key) === false) return;
          toldFirst?.add(key);
          onEntry({ key, value, revision });
        },
        onCaughtUp: () => {
          toldFirst = null;
          if (isRestart) onRestart?.end();
          resolve();
        },
        onRestart: () => {
          isRestart = true;
          onRestart?.begin();
        },
      };
      readOrdered(this.#jetStream, read, signal).then(resolve, reject);
    });
  }

  usage(): Promise<StoreUsage> {
    return streamUsage(this.#jetStream, this.#stream);
  }

  async #store(subject: string, value: Uint8Array, after: number, headers: Headers = {}): Promise<number | null> {
    const revision = await this.#jetStream.storeAfter(subject, value, after, headers);
    if (revision !== null) this.#written = Math.max(this.#written, revision);
    return revision;
  }

  async #newest(key: string): Promise<StoredEntry | null> {
    const found = await this.#jetStream.newest(this.#stream, this.#subject(key));
    if (found === null) return null;
    const { sequence, time, data } = found;
    return { key, value: isDeletion(found) ? null : data, revision: sequence, storedAt: time };
  }

  #subject(key: string): string {
    if (!KEY.test(key)) throw new EspalierError('internal', `got key ${key}, expected words with dots between`);
    return this.#prefix + key;
  }
}

function isDeletion(message: { header(name: string): string }): boolean {
  // A mark that the server itself put, when a key's own time was over, has another header.
  return message.header('KV-Operation') !== '' || message.header('Nats-Marker-Reason') !== '';
}
