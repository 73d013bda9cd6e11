// What coordinators and workers need of NATS, in their own words. `nats-bus.ts` opens it.
//
// A bus: connected ⇄ reconnecting → closed. While it reconnects, calls wait for up to their timeout and then fail with
// "bus_unavailable"; watches and subscriptions go on by themselves afterwards and miss nothing that a bucket or the event
// log still holds.

/** One version of a key. `value` null: the key was deleted. */
export interface KeyEntry {
  readonly key: string;
  readonly value: Uint8Array | null;
  /** Grows with every change of the bucket; what compare-and-set compares. */
  readonly revision: number;
}

/** A version as the server has it. */
export interface StoredEntry extends KeyEntry {
  /** By the server's clock. */
  readonly storedAt: Date;
}

/** What a watcher is told when the bucket turned out to be another one than before: put back from a copy, say. */
export interface WatchRestart {
  /** Whatever was told no longer counts; all keys that are there follow, with revisions that may be lower. */
  begin(): void;
  /** They have been told: what was not among them is gone. */
  end(): void;
}

/** A bucket of small values with compare-and-set. All errors are "bus_unavailable", or "store_full" for one that is at its
 * limit. After "bus_unavailable" of a change it is unknown whether it took place: read before trying again. */
export interface KeyValueBucket {
  /** The newest version that is not deleted, read from the bucket's leader; else null. */
  get(key: string): Promise<StoredEntry | null>;
  /** Stores a key that is not there. @returns its revision, or null when the key is there. */
  create(key: string, value: Uint8Array): Promise<number | null>;
  /** Replaces exactly this revision. @returns the new one, or null when another is there. */
  update(key: string, value: Uint8Array, revision: number): Promise<number | null>;
  /** Deletes exactly this revision. @returns whether it did. */
  delete(key: string, revision: number): Promise<boolean>;
  /** Tells of every key under `prefix` as it is now, then of changes, in order of revisions, until the signal aborts. What is
   * told last of a key is its newest version; one that was replaced before the server had sent it is never told. A key
   * that was gone before any version of it was told may be told as deleted, or not at all.
   * @returns when all that were there have been told. */
  watch(
    prefix: string,
    onEntry: (entry: KeyEntry) => void,
    signal: AbortSignal,
    onRestart?: WatchRestart,
  ): Promise<void>;
  /** Bytes that all keys take and may take. */
  usage(): Promise<StoreUsage>;
}

export interface StoreUsage {
  readonly bytes: number;
  readonly limitBytes: number;
}

/** A reminder that there is work: one for each unfinished job, none of them bound to it. */
export interface WakeToken {
  /** Id of the job that it was added for. */
  readonly id: string;
  /** Keeps it from going to others for another ack period; called while the work goes on. */
  renew(): void;
  /** Takes it out of the queue. */
  done(): Promise<void>;
  /** Lets others have it after this pause. */
  giveBack(delayMs: number): Promise<void>;
}

/** The JetStream work queue that wakes coordinators; its length is what scaling looks at. */
export interface WakeQueue {
  add(id: string): Promise<void>;
  /** One token, or null when none came in time. */
  next(waitMs: number, signal: AbortSignal): Promise<WakeToken | null>;
  /** Tokens that wait or are held. */
  count(): Promise<number>;
}

/** Events of jobs, in order, kept for a limited time. */
export interface EventLog {
  /** @returns the sequence number, which grows over all jobs. */
  append(job: string, event: Uint8Array): Promise<number>;
  /** Tells of every kept event of a job after `afterSequence`, then of new ones as they come, until the signal aborts. */
  follow(
    job: string,
    afterSequence: number,
    onEvent: (sequence: number, event: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<void>;
  /** Those that are kept now, at most `limit` of them. */
  read(job: string, afterSequence: number, limit: number): Promise<{ sequence: number; event: Uint8Array }[]>;
  remove(job: string): Promise<void>;
}

export interface StoredObject {
  readonly digest: string;
  readonly sizeBytes: number;
  /** When it was put or kept the last time, by the server's clock, to a minute. */
  readonly storedAt: Date;
}

/** Where the chunks of an object are to be sent (object-upload.ts). */
export interface UploadPlan {
  readonly upload: string;
  /** What one message may hold. */
  readonly mostChunkBytes: number;
}

/** Chunks that are stored and that nothing names yet. */
export interface SentContent {
  readonly digest: string;
  readonly chunks: number;
  /** When the last one was sent, by `uploadClockMs`. */
  readonly lastMs: number;
}

/** The object store: blobs by SHA-256, in chunks. Readers and writers hold a few chunks in memory, whatever the size. */
export interface ObjectBucket {
  /** The object when it is whole there, else null. */
  find(digest: string): Promise<StoredObject | null>;
  /** `find` that counts as putting it again: a deletion of what was not put for long leaves it from then on. */
  keep(digest: string): Promise<StoredObject | null>;
  /** The server's clock, by which objects are dated. */
  now(): Promise<Date>;
  /** Stores content unless it is there. Nothing is visible, and chunks that came are removed, unless size and digest are
   * right. @throws EspalierError "blob_corrupt", "store_full", "bus_unavailable", or what `chunks` threw. */
  put(digest: string, sizeBytes: number, chunks: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  /** Stores content that was made here and has no name yet, in one pass. @returns its digest. @throws as `put` does. */
  add(sizeBytes: number, chunks: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<string>;
  /** The same of content that another connection of this process sends while it is made, in full and with its right digest.
   * @throws what `send` throws, and as `put` does; chunks that came are removed then. */
  addSent(sizeBytes: number, send: (plan: UploadPlan) => Promise<SentContent>): Promise<string>;
  /** Its bytes, checked: ends with an error "blob_corrupt" when size or digest are wrong, and deletes what is damaged;
   * with "bus_unavailable" when only a replica's copy is. @throws "blob_missing". */
  open(digest: string, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  list(): AsyncIterable<StoredObject>;
  /** Harmless when it is not there. With `storedBefore`, an object stays that was put, or put again, since then.
   * @returns whether it was there and is gone. */
  delete(digest: string, storedBefore?: Date): Promise<boolean>;
  /** Removes chunks of uploads that never ended and got their last chunk this long ago. @returns of how many uploads. */
  removeOrphans(olderThanMs: number): Promise<number>;
  usage(): Promise<StoreUsage>;
}

export interface Bus {
  /** Records of jobs and campaigns. */
  readonly jobs: KeyValueBucket;
  /** Leases of coordinators. */
  readonly leases: KeyValueBucket;
  readonly wake: WakeQueue;
  readonly events: EventLog;
  readonly objects: ObjectBucket;
  readonly isConnected: boolean;
  /** When the certificate ends that NATS presented for the last connection; null without TLS. */
  readonly serverCertificateEnd: Date | null;
  /** Core NATS: to whoever listens now. Dropped while there is no connection. */
  publish(subject: string, payload: Uint8Array): void;
  /** `subject` may end in `.>`. @returns a function that ends it. */
  subscribe(subject: string, onMessage: (subject: string, payload: Uint8Array) => void): () => void;
  /** Calls the listener after each time that the connection came back. @returns a function that ends it. */
  onReconnect(listener: () => void): () => void;
  close(): Promise<void>;
}

/** How to reach NATS. */
export interface BusSettings {
  /** nats:// or tls:// addresses, of one cluster. */
  readonly servers: readonly string[];
  /** File with a user's credentials: a `.creds` file (JWT and seed) or an NKEY seed alone; null: none. */
  readonly credentials: string | null;
  /** Authority, and this process's own certificate, for NATS over TLS; null: no TLS. */
  readonly tls: { readonly ca: string; readonly certificate: string | null; readonly key: string | null } | null;
}
