// What the bus needs of a connection to NATS: messages, requests and the news of its state. `nats-link.ts` is one; all
// else here speaks JetStream's own JSON over it (`jet-stream.ts`) and knows no client library.

export interface LinkMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Where an answer goes, or "". */
  readonly reply: string;
  /** Set in messages without content that JetStream sends about the others: 100 heartbeat, 204 end, 404, 408, 409. */
  readonly status: { readonly code: number; readonly description: string } | null;
  /** The value of a header, or "". */
  header(name: string): string;
}

export type Headers = Readonly<Record<string, string>>;

export interface LinkSubscription {
  readonly subject: string;
  end(): void;
}

export interface Link {
  readonly isConnected: boolean;
  /** For good. */
  readonly isClosed: boolean;
  /** When the server's certificate ends, as of the last connection; null without TLS. */
  readonly serverCertificateEnd: Date | null;
  /** Largest message that the server takes. */
  readonly maxPayloadBytes: number;
  /** How long a request may take, waits for a connection included. */
  readonly timeoutMs: number;
  /** A subject that only this connection hears. */
  inbox(): string;
  /** Sends and forgets. */
  publish(subject: string, data: Uint8Array, options?: { reply?: string; headers?: Headers }): void;
  /** One answer. Nothing is sent before there is a connection, so that nothing is sent after its caller gave up.
   * @throws EspalierError "bus_unavailable" when none came in time; whether the request arrived is then unknown. */
  request(subject: string, data: Uint8Array, options?: { headers?: Headers; timeoutMs?: number }): Promise<LinkMessage>;
  /** Told of every message, in order; also after the connection was lost and came back. */
  subscribe(
    subject: string,
    onMessage: (message: LinkMessage) => void,
    onRefused?: (error: Error) => void,
  ): LinkSubscription;
  /** Resolves when there is a connection. @throws EspalierError "bus_unavailable" after `timeoutMs`. */
  whenConnected(): Promise<void>;
  /** Calls the listener after each time that the connection came back, and when it is closed.
   * @returns a function that ends it. */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}
