// Follows one address for as long as the pool lives. Its states:
//
//   connecting  until a connection is up; tried again, with growing pauses
//   asked       the worker says what it is (Describe)
//   joined      the pool accepted it; left when the connection drops
//   refused     the pool did not; left when the connection drops, since another worker may come up there

import { setTimeout as pause } from 'node:timers/promises';
import { connectivityState } from '@grpc/grpc-js';
import { type EspalierError, toEspalierError } from '../../shared/errors.ts';
import { connectWorker, type WorkerConnection } from '../../shared/rpc/channel.ts';
import { connectionFailure } from '../../shared/rpc/connection-failure.ts';
import type { WorkerDescription } from '../../shared/rpc/protocol.ts';
import { fromStatus } from '../../shared/rpc/status.ts';
import type { Tls } from '../../shared/rpc/tls.ts';

const CONNECT_MS = 2_000;
const DESCRIBE_MS = 10_000;
const ASK_WHY_MS = 1_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

export interface LinkEvents {
  /** A worker answered. @throws EspalierError when it is refused. */
  readonly joined: (description: WorkerDescription) => void;
  /** A worker that had joined cannot be reached any more. */
  readonly lost: (reason: string) => void;
  /** It cannot be reached, or was refused. */
  readonly failed: (error: EspalierError) => void;
}

export class WorkerLink {
  readonly connection: WorkerConnection;
  readonly #closed = new AbortController();
  readonly #events: LinkEvents;
  readonly #tls: Tls | null;
  readonly #tlsName: string | null;
  /** Resolves when the first try has ended, well or badly. */
  readonly tried: Promise<void>;
  #markTried: () => void = () => {};

  /** @param tlsName what the worker's certificate must name; null: the host of the address. */
  constructor(address: string, tls: Tls | null, tlsName: string | null, events: LinkEvents) {
    this.connection = connectWorker(address, tls, tlsName);
    this.#events = events;
    this.#tls = tls;
    this.#tlsName = tlsName;
    this.tried = new Promise((resolve) => {
      this.#markTried = resolve;
    });
  }

  /** True while nobody listens at the address. */
  get isRefused(): boolean {
    return this.connection.channel.getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE;
  }

  /** Follows until `close`. */
  async follow(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.#closed.signal.aborted) {
      try {
        await this.#joinOnce();
        pauseMs = FIRST_PAUSE_MS;
      } catch (caught) {
        this.#markTried();
        if (this.#closed.signal.aborted) break;
        this.#events.failed(toEspalierError(caught));
        await this.#untilDropped();
        pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
      }
      await pause(pauseMs, undefined, { signal: this.#closed.signal }).catch(() => {});
    }
    this.#markTried();
  }

  close(): void {
    this.#closed.abort();
    this.connection.close();
  }

  async #joinOnce(): Promise<void> {
    await this.#untilConnected();
    const description = await this.#describe();
    if (this.#closed.signal.aborted) return;
    this.#events.joined(description);
    this.#markTried();
    await this.#untilDropped();
    if (!this.#closed.signal.aborted) this.#events.lost('the connection dropped');
  }

  #untilConnected(): Promise<void> {
    const { worker } = this.connection;
    return new Promise((resolve, reject) => {
      worker.waitForReady(Date.now() + CONNECT_MS, (error) => {
        if (error) void this.#whyNotConnected().then(reject);
        else resolve();
      });
    });
  }

  /** A call that does not wait for a connection fails with the reason why there is none: that of its first try only,
   * hence a channel of its own. */
  #whyNotConnected(): Promise<EspalierError> {
    const { address } = this.connection;
    const { worker, close } = connectWorker(address, this.#tls, this.#tlsName);
    return new Promise((resolve) => {
      worker.describe({}, { deadline: Date.now() + ASK_WHY_MS }, (error) => {
        close();
        resolve(connectionFailure(address, error?.details ?? '', this.#tls !== null));
      });
    });
  }

  #describe(): Promise<WorkerDescription> {
    const { worker, address } = this.connection;
    return new Promise((resolve, reject) => {
      worker.describe({}, { deadline: Date.now() + DESCRIBE_MS }, (error, description) => {
        if (description === undefined) reject(fromStatus(error, address));
        else resolve(description);
      });
    });
  }

  async #untilDropped(): Promise<void> {
    const { channel } = this.connection;
    if (channel.getConnectivityState(false) !== connectivityState.READY) return;
    await new Promise<void>((resolve) => {
      channel.watchConnectivityState(connectivityState.READY, Number.POSITIVE_INFINITY, () => resolve());
    });
  }
}
