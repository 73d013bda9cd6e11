// The coordinators of a command: one connection at a time, to the first of the list that answers. A call whose coordinator
// goes away is made again at the next one, so all of them must bear being sent twice.
import { setTimeout as pause } from 'node:timers/promises';
import { type CallOptions, Metadata, type requestCallback } from '@grpc/grpc-js';
import { EspalierError } from '../../shared/errors.ts';
import { cancelOnAbort } from '../../shared/rpc/abort.ts';
import { Tls } from '../../shared/rpc/tls.ts';
import type { ClusterSettings } from '../parse-cluster.ts';
import { CoordinatorConnection } from './coordinator-connection.ts';

/** How long an answer may take, unless a call says otherwise. */
export const CALL_MS = 30_000;
/** Rounds over all coordinators before a call fails, with a pause between two. */
const ROUNDS = 3;
const PAUSE_MS = 400;
/** A coordinator that has no place for what costs memory is asked again for so long. */
const BUSY_PATIENCE_MS = 300_000;

/** @param isRepeated whether an earlier try may have done it, and its answer been lost. */
export type Work<Result> = (connection: CoordinatorConnection, isRepeated: boolean) => Promise<Result>;

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: CallOptions,
  callback: requestCallback<Response>,
) => { cancel(): void };

export class Coordinators {
  /** Ends every call. */
  readonly signal: AbortSignal;
  readonly #addresses: readonly string[];
  readonly #tls: Tls | null;
  #position = 0;
  #connection: CoordinatorConnection | null = null;
  #hasAnswered = false;

  private constructor(addresses: readonly string[], tls: Tls | null, signal: AbortSignal) {
    this.#addresses = addresses;
    this.#tls = tls;
    this.signal = signal;
  }

  /** Sends nothing yet. Whoever opened it closes it. @throws EspalierError "tls", "wrong_role". */
  static async open({ addresses, tls }: ClusterSettings, signal: AbortSignal): Promise<Coordinators> {
    const opened = tls === null ? null : await Tls.open(tls, ['submit', 'read']);
    return new Coordinators(addresses, opened, signal);
  }

  /** Runs a call against the coordinators in turn until one answers. */
  async call<Result>(work: Work<Result>): Promise<Result> {
    let failure: EspalierError | null = null;
    for (let attempt = 0; attempt < ROUNDS * this.#addresses.length; attempt += 1) {
      this.signal.throwIfAborted();
      if (attempt > 0 && attempt % this.#addresses.length === 0) await this.pause();
      const connection = this.connect();
      try {
        const result = await work(connection, failure !== null);
        this.noteAnswer();
        return result;
      } catch (caught) {
        this.signal.throwIfAborted();
        const error = connection.failure(caught);
        // A coordinator that is just ending can look as if it did not accept the certificate.
        if (!isAway(error.code) && error.code !== 'tls') throw error;
        failure = error;
        this.next();
      }
    }
    throw failure ?? new EspalierError('usage', '--coordinator: missing');
  }

  /** Does it again while the coordinator has no place for it. */
  async unlessBusy<Result>(work: Work<Result>): Promise<Result> {
    const end = Date.now() + BUSY_PATIENCE_MS;
    for (;;) {
      try {
        return await this.call(work);
      } catch (caught) {
        const isBusy = caught instanceof EspalierError && caught.code === 'worker_busy';
        if (!isBusy || Date.now() > end) throw caught;
        await this.pause();
      }
    }
  }

  /** One request and its response, by a method of a connection's client. */
  unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    { timeoutMs = CALL_MS, metadata = new Metadata() }: { timeoutMs?: number; metadata?: Metadata } = {},
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const call = method(request, metadata, { deadline: Date.now() + timeoutMs }, (error, response) => {
        stop();
        if (response === undefined) reject(error);
        else resolve(response);
      });
      const stop = cancelOnAbort(call, this.signal);
    });
  }

  /** The connection in use, or a new one. */
  connect(): CoordinatorConnection {
    this.#connection ??= new CoordinatorConnection(this.#addresses[this.#position], this.#tls);
    return this.#connection;
  }

  /** Turns to the next address. */
  next(): void {
    this.#connection?.close();
    this.#connection = null;
    this.#position = (this.#position + 1) % this.#addresses.length;
  }

  /** A coordinator has answered: what looks like wrong certificates from now on is a connection that was cut. */
  noteAnswer(): void {
    this.#hasAnswered = true;
  }

  /** Whether another coordinator, or this one later, may answer. */
  mayPass({ code }: EspalierError): boolean {
    return isAway(code) || (code === 'tls' && this.#hasAnswered);
  }

  /** Waits before the next try. @throws the reason of `signal`. */
  async pause(signal: AbortSignal = this.signal): Promise<void> {
    await pause(PAUSE_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
  }

  close(): void {
    this.#connection?.close();
    this.#connection = null;
    this.#tls?.close();
  }
}

function isAway(code: string): boolean {
  return code === 'coordinator_unavailable' || code === 'deadline' || code === 'bus_unavailable';
}
