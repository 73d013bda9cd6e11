// Follows one address for as long as the pool lives. Its states:
//
//   connecting  until a connection is up; tried again, with growing pauses
//   asked       the worker says what it is (Describe)
//   joined      the pool accepted it; left when the connection drops
//   refused     the pool did not; left when the connection drops, since another worker may come up there

import { setTimeout as pause } from 'node:timers/promises';
import { connectivityState } from '@grpc/grpc-js';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { connectWorker, type WorkerConnection } from '../../shared/rpc/channel.ts';
import type { WorkerDescription } from '../../shared/rpc/protocol.ts';
import { fromStatus } from '../../shared/rpc/status.ts';

const CONNECT_MS = 2_000;
const DESCRIBE_MS = 10_000;
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
  /** Resolves when the first try has ended, well or badly. */
  readonly tried: Promise<void>;
  #markTried: () => void = () => {};

  constructor(address: string, events: LinkEvents) {
    this.connection = connectWorker(address);
    this.#events = events;
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
    const { worker, address } = this.connection;
    return new Promise((resolve, reject) => {
      worker.waitForReady(Date.now() + CONNECT_MS, (error) => {
        if (error) reject(new EspalierError('worker_unavailable', `${address}: cannot be reached`, { cause: error }));
        else resolve();
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
