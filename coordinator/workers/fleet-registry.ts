// Which workers are there, by their heartbeats. A member:
//
//   announced (its first heartbeat; a connection is made) → joined (it answered for itself: mutual TLS proves role and
//   host, Describe says what it is) → leaving (its heartbeat says "draining": it finishes what it has)
//   → removed (it says "gone", its connection dropped for good, or it was silent)
//
// A worker of another version is left out. Silence counts only while this side can hear: not while the
// bus is away, and not after a pause of this process.
import { createHash } from 'node:crypto';
import type { Bus } from '../../shared/bus/bus.ts';
import { HEARTBEAT_MS, type Heartbeat, SILENT_MS, WORKER_SUBJECT } from '../../shared/bus/heartbeat.ts';
import { type EspalierError, toEspalierError } from '../../shared/errors.ts';
import { hostOf } from '../../shared/rpc/address.ts';
import { BlobUploader } from '../../shared/rpc/blob-upload.ts';
import { isLoopback } from '../../shared/rpc/loopback.ts';
import { PROTOCOL_VERSION, type WorkerDescription } from '../../shared/rpc/protocol.ts';
import type { Tls } from '../../shared/rpc/tls.ts';
import { espalierVersion } from '../../shared/rpc/version.ts';
import type { Clock } from './clock.ts';
import { checkWorker } from './device-class.ts';
import { readHeartbeat } from './heartbeat-reader.ts';
import { WorkerLink } from './worker-link.ts';
import type { PooledWorker, WorkerSource } from './worker-source.ts';

const MAX_MEMBERS = 4096;
const MAX_NOTICES = 1024;
const LOOK_MS = HEARTBEAT_MS / 2;

export interface FleetRegistryOptions {
  readonly bus: Bus;
  readonly tls: Tls | null;
  readonly insecure: boolean;
  /** What every worker's certificate must name; left out: the host of its address. */
  readonly workerTlsName?: string | null;
  readonly coordinatorId: string;
  readonly clock: Clock;
  readonly onNotice: (text: string) => void;
  /** Blob bytes that went to a worker. */
  readonly onUpload: (bytes: number) => void;
}

interface Member {
  readonly address: string;
  readonly link: WorkerLink;
  heartbeat: Heartbeat;
  heardMs: number;
  joined: PooledWorker | null;
  /** The last worker that joined here: comes back as it was when only the connection dropped. */
  latest: PooledWorker | null;
}

export class FleetRegistry implements WorkerSource {
  readonly exhausted = null;
  readonly #options: FleetRegistryOptions;
  readonly #members = new Map<string, Member>();
  readonly #listeners = new Set<() => void>();
  readonly #noticed = new Set<string>();
  readonly #endings: (() => void)[] = [];
  #workers: readonly PooledWorker[] = [];
  #lookedMs: number;
  #stopLooking = () => {};

  /** Listens from now on. */
  constructor(options: FleetRegistryOptions) {
    const { bus, clock } = options;
    this.#options = options;
    this.#lookedMs = clock.now();
    this.#endings.push(
      bus.subscribe(`${WORKER_SUBJECT}.>`, (subject, payload) => this.#heard(subject, payload)),
      bus.onReconnect(() => this.#hearAgain()),
      () => this.#stopLooking(),
    );
    this.#look();
  }

  get workers(): readonly PooledWorker[] {
    return this.#workers;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends all connections. Calls that still run fail. */
  close(): void {
    for (const end of this.#endings.splice(0)) end();
    for (const { link } of this.#members.values()) link.close();
    this.#members.clear();
    this.#changed();
  }

  #heard(subject: string, payload: Uint8Array): void {
    const heartbeat = readHeartbeat(subject, payload);
    if (typeof heartbeat === 'string') {
      this.#noticeOnce(subject.slice(0, 128), `a heartbeat that cannot be used: ${heartbeat}`);
      return;
    }
    const member = this.#members.get(heartbeat.address);
    if (member === undefined) this.#announced(heartbeat);
    else if (heartbeat.state !== 'gone') this.#update(member, heartbeat);
    else if (heartbeat.instanceId === member.heartbeat.instanceId) this.#remove(member, 'it has ended');
  }

  #announced(heartbeat: Heartbeat): void {
    const { address, state } = heartbeat;
    const { tls, insecure, workerTlsName = null, clock } = this.#options;
    if (state === 'gone') return;
    if (tls === null && !insecure && !isLoopback(hostOf(address))) {
      this.#noticeOnce(address, `worker ${address} is left out: without TLS only workers of this machine are used`);
      return;
    }
    if (heartbeat.version !== espalierVersion() || heartbeat.protocolVersion !== PROTOCOL_VERSION) {
      const got = `version ${heartbeat.version}, protocol ${heartbeat.protocolVersion}`;
      const text = `got ${got}, expected version ${espalierVersion()}, protocol ${PROTOCOL_VERSION}`;
      this.#noticeOnce(`${address} ${heartbeat.instanceId} version`, `worker ${address} is left out: ${text}`);
      return;
    }
    if (this.#members.size >= MAX_MEMBERS) {
      this.#noticeOnce('full', `worker ${address} is left out: ${MAX_MEMBERS} others are there already`);
      return;
    }
    const link = new WorkerLink(address, tls, workerTlsName, {
      joined: (description) => this.#join(member, description),
      lost: (reason) => this.#lose(member, reason),
      failed: (error) => this.#tell(member, error),
    });
    const member: Member = { address, link, heartbeat, heardMs: clock.now(), joined: null, latest: null };
    this.#members.set(address, member);
    void link.follow();
  }

  #update(member: Member, heartbeat: Heartbeat): void {
    member.heartbeat = heartbeat;
    member.heardMs = this.#options.clock.now();
    const { joined } = member;
    if (joined === null || joined.instanceId !== heartbeat.instanceId) return;
    joined.models = new Set(heartbeat.models);
    const isLeaving = heartbeat.state === 'draining';
    if (joined.isLeaving === isLeaving) return;
    joined.isLeaving = isLeaving;
    this.#changed();
  }

  /** @throws EspalierError "protocol" for a worker of another version. */
  #join(member: Member, description: WorkerDescription): void {
    const { address, link, heartbeat } = member;
    const deviceClass = checkWorker(address, description, null);
    const { connection } = link;
    const { instanceId, memoryBytes } = description;
    if (member.latest?.instanceId !== instanceId) {
      const uploader = new BlobUploader(connection.blobs, address, this.#options.onUpload);
      const told = { address, instanceId, deviceClass, memoryBytes, host: heartbeat.host };
      member.latest = { ...told, connection, uploader, models: new Set(), isLeaving: false };
    }
    if (heartbeat.instanceId === instanceId) {
      member.latest.models = new Set(heartbeat.models);
      member.latest.isLeaving = heartbeat.state === 'draining';
    }
    member.joined = member.latest;
    this.#changed();
  }

  #lose(member: Member, reason: string): void {
    if (member.joined === null) return;
    member.joined.lostReason = reason;
    member.joined = null;
    this.#changed();
  }

  #remove(member: Member, reason: string): void {
    if (this.#members.get(member.address) !== member) return;
    this.#members.delete(member.address);
    member.link.close();
    if (member.joined !== null) member.joined.lostReason = reason;
    member.joined = null;
    this.#changed();
  }

  /** Every coordinator goes through the workers in an order of its own, so that few jobs of several spread. */
  #changed(): void {
    const { coordinatorId } = this.#options;
    const joined = [...this.#members.values()].flatMap((member) => member.joined ?? []);
    const keyed = joined.map((worker) => [rank(coordinatorId, worker.address), worker] as const);
    this.#workers = keyed.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, worker]) => worker);
    for (const listener of [...this.#listeners]) listener();
  }

  #look(): void {
    const { bus, clock } = this.#options;
    const now = clock.now();
    if (now - this.#lookedMs > 3 * LOOK_MS || !bus.isConnected) this.#hearAgain();
    this.#lookedMs = now;
    for (const member of [...this.#members.values()])
      if (now - member.heardMs > SILENT_MS) this.#remove(member, `it was silent for ${SILENT_MS / 1000} s`);
    this.#stopLooking = clock.after(LOOK_MS, () => this.#look());
  }

  /** Nothing could be heard for a while: silence starts now. */
  #hearAgain(): void {
    const now = this.#options.clock.now();
    for (const member of this.#members.values()) member.heardMs = now;
  }

  #tell({ address, heartbeat }: Member, error: EspalierError): void {
    if (error.code === 'worker_unavailable' || error.code === 'deadline') return;
    this.#noticeOnce(
      `${address} ${heartbeat.instanceId} ${error.code}`,
      `worker ${address} is left out: ${toEspalierError(error).line}`,
    );
  }

  #noticeOnce(key: string, text: string): void {
    if (this.#noticed.has(key)) return;
    // Forgets all rather than growing without end.
    if (this.#noticed.size >= MAX_NOTICES) this.#noticed.clear();
    this.#noticed.add(key);
    this.#options.onNotice(text);
  }
}

function rank(coordinatorId: string, address: string): string {
  return createHash('sha256').update(`${coordinatorId} ${address}`).digest('hex');
}
