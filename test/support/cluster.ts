// A whole cluster on this machine: nats-server, coordinators and workers as processes of their own, over real gRPC. Every
// file of it lies in one folder that is removed afterwards; no process outlives the tests of the file.
//
// Names: "nats" ("nats1", "nats2", … where there are several); coordinators "a", "b", …; workers "w1", "w2", …. With `proxied` each link has a proxy of its own (see
// `links`), else the processes speak to each other directly.
import { mkdirSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import type { Certificates } from './certificates.ts';
import { type ClusterNats, natsServers } from './cluster-nats.ts';
import { ClusterProcess } from './cluster-process.ts';
import { FaultProxy } from './fault-proxy.ts';
import { isRunning } from './processes.ts';
import { until } from './until.ts';

/** Much shorter than in service, so that a test need not wait long for a lease to lapse. */
export const LEASE_SECONDS = 3;

export interface ClusterPlan {
  readonly coordinators?: number;
  readonly workers?: number;
  readonly proxied?: boolean;
  /** One folder of blobs for all workers, as on one machine. */
  readonly sharedBlobs?: boolean;
  /** What the workers compute on; a CPU by default. */
  readonly device?: 'cpu' | 'gpu';
  /** Size of the object store; 4 by default. */
  readonly storeGb?: number;
  readonly coordinatorFlags?: readonly string[];
  readonly workerFlags?: readonly string[];
  /** Environment of one process, beside the test's own. */
  readonly env?: (name: string) => NodeJS.ProcessEnv;
  /** mTLS between coordinators, workers and clients, with these certificates. */
  readonly certificates?: Certificates;
  /** Where the folders of one process lie, by its name; for folders on file systems of their own. */
  readonly place?: Readonly<Record<string, string>>;
  /** Lines added to the configuration of each nats-server. */
  readonly natsConfig?: string;
  /** 1 by default; more are one cluster, without proxies. */
  readonly natsServers?: number;
}

/** Proxies of a proxied cluster, each by the name of the process that dials or is dialled through it. */
export interface Links {
  /** What the coordinator or the worker of this name speaks to NATS through. */
  nats(name: string): FaultProxy;
  /** What coordinators reach this worker through. */
  worker(name: string): FaultProxy;
  /** What clients reach this coordinator through. */
  client(name: string): FaultProxy;
}

export class Cluster {
  readonly folder: string;
  readonly natsServers: readonly ClusterProcess[];
  readonly coordinators: ClusterProcess[] = [];
  readonly workers: ClusterProcess[] = [];
  readonly #plan: ClusterPlan;
  readonly #natsProxies = new Map<string, FaultProxy>();
  readonly #workerProxies = new Map<string, FaultProxy>();
  readonly #clientProxies = new Map<string, FaultProxy>();
  readonly #monitorPorts: readonly (() => number)[];
  #workerCount = 0;

  private constructor(folder: string, plan: ClusterPlan, nats: readonly ClusterNats[]) {
    this.folder = folder;
    this.#plan = plan;
    this.natsServers = nats.map(({ process }) => process);
    this.#monitorPorts = nats.map(({ monitorPort }) => monitorPort);
  }

  /** Starts all of it. Whoever calls it removes it, also after a test that failed. */
  static async start(plan: ClusterPlan = {}): Promise<Cluster> {
    const folder = await mkdtemp(path.join(tmpdir(), 'espalier-cluster-'));
    const nats = await natsServers({
      servers: plan.natsServers ?? 1,
      folderOf: (name, part) => processFolder(folder, plan, name, part),
      config: plan.natsConfig ?? '',
    });
    const cluster = new Cluster(folder, plan, nats);
    cluster.#endWithTest();
    try {
      await Promise.all(cluster.natsServers.map((server) => server.start()));
      for (let i = 0; i < (plan.coordinators ?? 2); i += 1) await cluster.addCoordinator();
      await Promise.all(Array.from({ length: plan.workers ?? 2 }, () => cluster.addWorker()));
      return cluster;
    } catch (caught) {
      await cluster.remove();
      throw caught;
    }
  }

  /** The only server, or the first of several. */
  get nats(): ClusterProcess {
    return this.natsServers[0];
  }

  get processes(): readonly ClusterProcess[] {
    return [...this.natsServers, ...this.coordinators, ...this.workers];
  }

  get links(): Links {
    return {
      nats: (name) => found(this.#natsProxies, name),
      worker: (name) => found(this.#workerProxies, name),
      client: (name) => found(this.#clientProxies, name),
    };
  }

  /** Addresses of NATS as flags have them, without a proxy. */
  get natsUrl(): string {
    return this.natsServers.map(({ address }) => `nats://${address}`).join(',');
  }

  /** Where each server of NATS tells of its streams and connections. */
  get monitorUrls(): readonly string[] {
    return this.#monitorPorts.map((port) => `http://127.0.0.1:${port()}`);
  }

  process(name: string): ClusterProcess {
    const named = this.processes.find((candidate) => candidate.name === name);
    if (named === undefined) throw new Error(`no process ${name}`);
    return named;
  }

  /** The coordinator that a record names: its id, and a random part of each start. */
  ownerOf(owner: string): ClusterProcess {
    return this.process(owner.replace(/-[0-9a-f]+$/, ''));
  }

  /** Where clients reach a coordinator: the given one, or the first that runs. */
  clientAddress(name?: string): string {
    const coordinator = name === undefined ? this.coordinators.find(({ isRunning }) => isRunning) : this.process(name);
    if (coordinator === undefined) throw new Error('no coordinator runs');
    return this.#clientProxies.get(coordinator.name)?.address ?? coordinator.address;
  }

  /** What the heartbeats of a worker say. */
  workerAddress(name: string): string {
    return this.#workerProxies.get(name)?.address ?? this.process(name).address;
  }

  /** A folder of one process, below its own place. */
  folderOf(name: string, part: string): string {
    return processFolder(this.folder, this.#plan, name, part);
  }

  blobDir(worker: string): string {
    return this.#plan.sharedBlobs ? this.folderOf('workers', 'blobs') : this.folderOf(worker, 'blobs');
  }

  cacheDir(coordinator: string): string {
    return this.folderOf(coordinator, 'cache');
  }

  async addCoordinator(flags: readonly string[] = []): Promise<ClusterProcess> {
    const name = String.fromCharCode('a'.charCodeAt(0) + this.coordinators.length);
    const nats = await this.#natsUrlFor(name);
    const own = [
      ...['--id', name, '--host', '127.0.0.1', '--nats', nats, '--cache-dir', this.cacheDir(name)],
      ...['--lease-seconds', String(LEASE_SECONDS), '--store-limit-gb', String(this.#plan.storeGb ?? 4)],
      ...['--metrics-port', '0'],
      ...(this.#plan.certificates?.flags('coordinator') ?? []),
      ...(this.#plan.coordinatorFlags ?? []),
      ...flags,
    ];
    const coordinator = this.#program(name, 'dist/coordinator/main.js', (port) => [...own, '--port', String(port)]);
    this.coordinators.push(coordinator);
    if (this.#plan.proxied) this.#clientProxies.set(name, await FaultProxy.open());
    await coordinator.start();
    this.#clientProxies.get(name)?.target(coordinator.port);
    return coordinator;
  }

  /** @param program of another version; left out: this one's.
   * @param certificates other ones than the cluster's. */
  async addWorker(
    flags: readonly string[] = [],
    program = 'dist/worker/main.js',
    certificates = this.#plan.certificates,
  ): Promise<ClusterProcess> {
    this.#workerCount += 1;
    const name = `w${this.#workerCount}`;
    const own = [
      ...['--host', '127.0.0.1', '--device', this.#plan.device ?? 'cpu', '--blob-dir', this.blobDir(name)],
      ...['--metrics-port', '0'],
      ...(certificates?.flags('worker') ?? []),
      ...(this.#plan.workerFlags ?? []),
      ...flags,
    ];
    const links: string[] = [];
    const worker = this.#program(name, program, (port) => [...own, ...links, '--port', String(port)]);
    this.workers.push(worker);
    links.push('--nats', await this.#natsUrlFor(name));
    if (this.#plan.proxied) {
      const proxy = await FaultProxy.open();
      this.#workerProxies.set(name, proxy);
      links.push('--advertise', proxy.address);
    }
    await worker.start();
    this.#workerProxies.get(name)?.target(worker.port);
    return worker;
  }

  /** Ends a worker for good. */
  async removeWorker(name: string): Promise<void> {
    await this.process(name).stop();
    this.workers.splice(
      this.workers.findIndex((worker) => worker.name === name),
      1,
    );
  }

  /** Starts again whatever has ended, lets what was frozen go on, and heals every link. Resolves when all serve. */
  async restore(): Promise<void> {
    for (const proxies of [this.#natsProxies, this.#workerProxies, this.#clientProxies])
      for (const proxy of proxies.values()) proxy.heal();
    for (const process of this.processes) if (process.isRunning) process.thaw();
    await Promise.all(this.natsServers.map((server) => (server.isRunning ? undefined : server.start())));
    await Promise.all(this.processes.map((process) => (process.isRunning ? undefined : process.start())));
  }

  /** Ends everything as an operator would, and finds nothing left of it: each process drains and exits with 0, and none of
   * those that were ever started runs. */
  async stop(): Promise<void> {
    const problems: string[] = [];
    for (const process of [...this.workers, ...this.coordinators, ...this.natsServers]) {
      if (!process.isRunning) continue;
      const { code, signal } = await process.stop();
      // nats-server ends a graceful stop with 1 on some versions; what it stored is what counts.
      if (!this.natsServers.includes(process) && code !== 0)
        problems.push(`${process.name} ended with ${code ?? signal}: ${process.lastLog().slice(-2_000)}`);
    }
    if (problems.length > 0) throw new Error(problems.join('\n'));
    const pids = this.processes.flatMap((process) => process.pids);
    await until(`processes ${pids.join(', ')} are gone`, () => !pids.some(isRunning), 5_000);
  }

  /** Ctrl-C, and the runner of the tests when it gives up, end a test without its `after`. */
  #endWithTest(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, this.#onSignal);
  }

  readonly #onSignal = (signal: NodeJS.Signals): void => {
    for (const running of this.processes) running.drop();
    rmSync(this.folder, { recursive: true, force: true });
    process.kill(process.pid, signal);
  };

  async #natsUrlFor(name: string): Promise<string> {
    if (!this.#plan.proxied) return this.natsUrl;
    const proxy = await FaultProxy.open(this.nats.port);
    this.#natsProxies.set(name, proxy);
    return `nats://${proxy.address}`;
  }

  #program(name: string, file: string, args: (port: number) => readonly string[]): ClusterProcess {
    return new ClusterProcess(name, {
      command: process.execPath,
      args: (port) => ['--enable-source-maps', path.resolve(projectRoot(), file), ...args(port)],
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        TF_CPP_MIN_LOG_LEVEL: '2',
        XDG_CACHE_HOME: this.folderOf(name, 'xdg'),
        TMPDIR: this.folderOf(name, 'tmp'),
        ...this.#plan.env?.(name),
      },
      portIn: servingPort,
    });
  }

  /** Ends what still runs and removes the folder. */
  async remove(): Promise<void> {
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, this.#onSignal);
    for (const running of this.processes) running.drop();
    for (const proxies of [this.#natsProxies, this.#workerProxies, this.#clientProxies])
      for (const proxy of proxies.values()) await proxy.close();
    const pids = this.processes.flatMap((process) => process.pids);
    await until(`processes ${pids.join(', ')} are gone`, () => !pids.some(isRunning), 10_000);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The port of the line with which a coordinator or worker tells that it serves. */
function servingPort(log: string): number | null {
  const line = log.split('\n').find((text) => text.includes('"message":"serving"') && text.endsWith('}'));
  return line === undefined ? null : (JSON.parse(line) as { port: number }).port;
}

function found(proxies: ReadonlyMap<string, FaultProxy>, name: string): FaultProxy {
  const proxy = proxies.get(name);
  if (proxy === undefined) throw new Error(`no proxy for ${name}`);
  return proxy;
}

function processFolder(root: string, { place }: ClusterPlan, name: string, part: string): string {
  const folder = path.join(place?.[name] ?? path.join(root, name), part);
  mkdirSync(folder, { recursive: true });
  return folder;
}
