// What must not be left behind once every job of a cluster has ended, looked for from outside: on the disks, and in NATS as
// its own monitoring tells it.
import { readdirSync } from 'node:fs';
import path from 'node:path';
import type { Cluster } from './cluster.ts';
import type { JobWatch } from './job-watch.ts';
import { until } from './until.ts';

/** NATS forgets the consumers of a process that was killed after half a minute. */
const SETTLE_MS = 45_000;
/** As shared/blobs/blob-store.ts lays them out. */
const WHOLE_BLOB = /\/sha256\/[0-9a-f]{2}\/[0-9a-f]{62}$/;

export interface Streams {
  /** Consumers of all streams together. */
  readonly consumers: number;
  readonly streams: number;
  /** Connections to NATS. */
  readonly connections: number;
  /** Messages of each stream by its name. */
  readonly messages: Readonly<Record<string, number>>;
  readonly bytes: number;
}

/** What NATS holds, as the monitoring ports of its servers tell it; counts are those of all servers together. */
export async function natsState(cluster: Cluster): Promise<Streams> {
  const states = await Promise.all(cluster.monitorUrls.map(serverState));
  const sum = (of: (state: Streams) => number) => states.reduce((total, state) => total + of(state), 0);
  return {
    streams: sum(({ streams }) => streams),
    consumers: sum(({ consumers }) => consumers),
    connections: sum(({ connections }) => connections),
    bytes: sum(({ bytes }) => bytes),
    // Each keeps all of them.
    messages: states[0].messages,
  };
}

async function serverState(url: string): Promise<Streams> {
  const ask = async (what: string) => (await fetch(`${url}/${what}`)).json();
  const {
    streams,
    consumers,
    bytes,
    account_details: accounts,
  } = (await ask('jsz?streams=true&accounts=true')) as {
    streams: number;
    consumers: number;
    bytes: number;
    account_details?: { stream_detail?: { name: string; state: { messages: number } }[] }[];
  };
  const { num_connections: connections } = (await ask('connz')) as { num_connections: number };
  const details = (accounts ?? []).flatMap(({ stream_detail: list }) => list ?? []);
  const messages = Object.fromEntries(details.map(({ name, state }) => [name, state.messages]));
  return { streams, consumers, connections, bytes, messages };
}

/** Resolves when the cluster has nothing of its ended jobs but their records, events and results; all of it must serve.
 * @param before taken when it was at rest the last time.
 * @param ofKilled whether to wait until what killed processes held is taken from them, too: consumers and wake tokens. */
export async function nothingLeft(
  cluster: Cluster,
  watch: JobWatch,
  before: Streams,
  { ofKilled = true } = {},
): Promise<void> {
  let state = await natsState(cluster);
  let tokens = -1;
  const told = () => JSON.stringify({ tokens, before, state, files: strayFiles(cluster) });
  const settled = () =>
    (!ofKilled || tokens === 0) &&
    state.streams === before.streams &&
    (!ofKilled || state.consumers <= before.consumers) &&
    state.connections <= before.connections &&
    strayFiles(cluster).length === 0;
  const end = Date.now() + SETTLE_MS;
  for (;;) {
    tokens = await watch.bus.wake.count();
    state = await natsState(cluster);
    if (settled()) return;
    if (Date.now() > end) throw new Error(`left behind after ${SETTLE_MS} ms: ${told()}`);
    await until('a moment later', nextLook());
  }
}

/** True from a tenth of a second later on. */
function nextLook(): () => boolean {
  const at = Date.now() + 100;
  return () => Date.now() >= at;
}

/** Files that neither hold a whole blob nor belong to NATS: half-written ones, scratch, temporary ones. */
export function strayFiles(cluster: Cluster): readonly string[] {
  const scratch = cluster.processes
    .filter((process) => !cluster.natsServers.includes(process))
    .flatMap(({ name }) => [cluster.folderOf(name, 'tmp'), cluster.folderOf(name, 'xdg')])
    .flatMap(filesIn);
  const caches = [
    ...cluster.workers.map(({ name }) => cluster.blobDir(name)),
    ...cluster.coordinators.map(({ name }) => cluster.cacheDir(name)),
  ];
  const halves = caches.flatMap(filesIn).filter((file) => !WHOLE_BLOB.test(file));
  return [...scratch, ...new Set(halves)];
}

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}
