// The workers of one job: which can be used now, and when to give up hope. All are of one device class: that of the
// recorded job, or else of the first worker that answered; others are refused, with a notice.
import { EspalierError } from '../../shared/errors.ts';
import { unlessAborted } from '../../shared/rpc/abort.ts';
import { hostOf } from '../../shared/rpc/address.ts';
import { BlobUploader } from '../../shared/rpc/blob-upload.ts';
import type { DeviceClass, WorkerDescription } from '../../shared/rpc/protocol.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import type { JobEvent } from '../job-events.ts';
import { checkWorker, describeClass } from './device-class.ts';
import { WorkerLink } from './worker-link.ts';
import type { PooledWorker, WorkerSource } from './worker-source.ts';

const GRACE_MS = 10_000;
const UNREACHABLE = 'cannot be reached';

export type WorkerEvent = Extract<JobEvent, { kind: 'worker-joined' | 'worker-lost' | 'notice' }>;

export interface WorkerPoolOptions {
  /** host:port of each worker, distinct. */
  readonly addresses: readonly string[];
  /** What to connect to an address with; null, or left out: no TLS. */
  readonly tlsFor?: (address: string) => Tls | null;
  /** Class of a job that goes on; null: the first worker decides. */
  readonly deviceClass?: DeviceClass | null;
  /** How long tasks wait for a worker when there is none. */
  readonly graceMs?: number;
  readonly onEvent?: (event: WorkerEvent) => void;
}

interface Member {
  readonly link: WorkerLink;
  /** The last worker that joined here: comes back as it was when only the connection dropped. */
  latest: PooledWorker | null;
  problem: string;
  /** Why it cannot join before somebody changes a certificate, else null. */
  refusal: EspalierError | null;
}

export class WorkerPool implements WorkerSource {
  readonly #members = new Map<string, Member>();
  readonly #joined = new Map<string, PooledWorker>();
  readonly #listeners = new Set<() => void>();
  readonly #removed: string[] = [];
  readonly #graceMs: number;
  readonly #onEvent: (event: WorkerEvent) => void;
  #deviceClass: DeviceClass | null;
  #exhausted: EspalierError | null = null;
  #graceTimer: NodeJS.Timeout | undefined;

  /** Starts to connect. */
  constructor(options: WorkerPoolOptions) {
    this.#graceMs = options.graceMs ?? GRACE_MS;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#deviceClass = options.deviceClass ?? null;
    for (const address of new Set(options.addresses)) this.#follow(address, options.tlsFor?.(address) ?? null);
    this.#watchEmptiness();
  }

  /** Those that can be used now, in the order of the addresses. */
  get workers(): PooledWorker[] {
    return [...this.#members.keys()].flatMap((address) => this.#joined.get(address) ?? []);
  }

  /** Class of the job; null before the first worker has joined. */
  get deviceClass(): DeviceClass | null {
    return this.#deviceClass;
  }

  /** Why no task can run, once there has been no worker for the grace period or none can come back; else null. */
  get exhausted(): EspalierError | null {
    return this.#exhausted;
  }

  /** Calls `listener` after every change of `workers` or `exhausted`, until the returned function is called. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when every address was tried and one worker at least has joined. @throws EspalierError "no_workers", or "tls" or
   * "wrong_role" when that is what keeps all of them away. */
  async ready(signal?: AbortSignal): Promise<void> {
    const links = [...this.#members.values()].map(({ link }) => link);
    await unlessAborted(Promise.all(links.map(({ tried }) => tried)), signal);
    // A wrong address is told at once; one that neither answers nor refuses has the grace period.
    const isHopeless = this.#refusal() !== null || links.every(({ isRefused }) => isRefused);
    if (this.#joined.size === 0 && isHopeless) throw this.#noWorkers();
    if (this.#joined.size > 0)
      for (const [address, { problem }] of this.#members)
        if (!this.#joined.has(address) && problem.endsWith(UNREACHABLE))
          this.#onEvent({ kind: 'notice', text: `worker ${address} ${UNREACHABLE}; it is tried again` });
    let unsubscribe = () => {};
    const decided = new Promise<void>((resolve, reject) => {
      const look = () => {
        if (this.#joined.size > 0) resolve();
        else if (this.#exhausted !== null) reject(this.#exhausted);
      };
      unsubscribe = this.subscribe(look);
      look();
    });
    await unlessAborted(decided, signal).finally(unsubscribe);
  }

  /** Gives up an address for good: the process behind it has ended. */
  remove(address: string, reason: string): void {
    const member = this.#members.get(address);
    if (member === undefined) return;
    this.#members.delete(address);
    this.#removed.push(`${address}: ${reason}`);
    member.link.close();
    if (this.#joined.delete(address)) this.#onEvent({ kind: 'worker-lost', worker: address, reason });
    this.#changed();
  }

  /** Ends all connections. Calls that still run fail. */
  close(): void {
    clearTimeout(this.#graceTimer);
    for (const { link } of this.#members.values()) link.close();
    this.#members.clear();
    this.#joined.clear();
    this.#exhausted ??= new EspalierError('cancelled', 'the pool of workers is closed');
    for (const listener of [...this.#listeners]) listener();
  }

  #follow(address: string, tls: Tls | null): void {
    const link = new WorkerLink(address, tls, null, {
      joined: (description) => this.#join(member, description),
      lost: (reason) => this.#lose(member, reason),
      failed: (error) => this.#note(member, error),
    });
    const member: Member = { link, latest: null, problem: UNREACHABLE, refusal: null };
    this.#members.set(address, member);
    void link.follow();
  }

  #join(member: Member, description: WorkerDescription): void {
    const { connection } = member.link;
    const { address } = connection;
    const deviceClass = checkWorker(address, description, this.#deviceClass);
    this.#deviceClass ??= deviceClass;
    const { instanceId, memoryBytes } = description;
    if (member.latest?.instanceId !== instanceId) {
      const uploader = new BlobUploader(connection.blobs, address);
      // What it holds is not told here, and does not matter to one job.
      const told = { address, instanceId, deviceClass, memoryBytes, host: hostOf(address) };
      member.latest = { ...told, connection, uploader, models: new Set(), isLeaving: false };
    }
    member.refusal = null;
    this.#joined.set(address, member.latest);
    this.#onEvent({ kind: 'worker-joined', worker: address, device: describeClass(deviceClass) });
    this.#changed();
  }

  #lose(member: Member, reason: string): void {
    const { address } = member.link.connection;
    member.problem = reason;
    if (this.#joined.delete(address)) this.#onEvent({ kind: 'worker-lost', worker: address, reason });
    this.#changed();
  }

  #note(member: Member, error: EspalierError): void {
    const isNew = member.problem !== error.message;
    member.problem = error.message;
    member.refusal = error.code === 'tls' || error.code === 'wrong_role' ? error : null;
    if (isNew && error.code !== 'worker_unavailable') this.#onEvent({ kind: 'notice', text: error.line });
  }

  #changed(): void {
    this.#watchEmptiness();
    for (const listener of [...this.#listeners]) listener();
  }

  #watchEmptiness(): void {
    if (this.#joined.size > 0) {
      clearTimeout(this.#graceTimer);
      this.#graceTimer = undefined;
      this.#exhausted = null;
    } else if (this.#members.size === 0) {
      this.#exhausted ??= this.#noWorkers();
    } else {
      this.#graceTimer ??= setTimeout(() => {
        this.#exhausted = this.#noWorkers();
        for (const listener of [...this.#listeners]) listener();
      }, this.#graceMs);
    }
  }

  /** The first refusal, when every address has one. */
  #refusal(): EspalierError | null {
    const refusals = [...this.#members.values()].map(({ refusal }) => refusal);
    return this.#removed.length === 0 && refusals.every((refusal) => refusal !== null) ? (refusals[0] ?? null) : null;
  }

  #noWorkers(): EspalierError {
    const problems = [...this.#members.values()].map(({ link, problem }) =>
      problem.startsWith(link.connection.address) ? problem : `${link.connection.address}: ${problem}`,
    );
    const all = [...this.#removed, ...problems];
    const refusal = this.#refusal();
    if (refusal !== null) return new EspalierError(refusal.code, all.join('; '), { action: refusal.action });
    return new EspalierError('no_workers', `no worker is left; ${all.length > 0 ? all.join('; ') : 'none was given'}`);
  }
}
