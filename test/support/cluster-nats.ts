// The nats-servers of a test's cluster: one, or several that are one cluster with JetStream among themselves.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ClusterProcess } from './cluster-process.ts';
import { freePorts } from './free-ports.ts';
import { natsServerBinary } from './nats-server.ts';

export interface NatsPlan {
  readonly servers: number;
  /** A folder of one server, below its own place. */
  readonly folderOf: (name: string, part: string) => string;
  /** Lines added to the configuration of each. */
  readonly config: string;
}

/** A server and where it tells of its streams and connections. */
export interface ClusterNats {
  readonly process: ClusterProcess;
  /** 0 before it serves. */
  readonly monitorPort: () => number;
}

/** One server is called "nats", several "nats1", "nats2", … */
export async function natsServers({ servers, folderOf, config }: NatsPlan): Promise<readonly ClusterNats[]> {
  if (servers === 1) return [natsServer('nats', folderOf, config)];
  // Each has to know all others from its start: their number is what makes a majority.
  const ports = await freePorts(servers);
  const routes = ports.map((port) => `"nats://127.0.0.1:${port}"`).join(', ');
  return ports.map((port, i) => {
    const cluster = `cluster { name: "espalier", listen: "127.0.0.1:${port}", routes: [${routes}] }`;
    return natsServer(`nats${i + 1}`, folderOf, `server_name: "nats${i + 1}"\n${cluster}\n${config}`);
  });
}

function natsServer(name: string, folderOf: NatsPlan['folderOf'], config: string): ClusterNats {
  const store = folderOf(name, 'store');
  let monitorPort = 0;
  const process_ = new ClusterProcess(name, {
    command: natsServerBinary(),
    args: (port) => ['--config', writeNatsConfig(folderOf(name, 'config'), store, port, config)],
    env: { ...process.env, TMPDIR: folderOf(name, 'tmp') },
    portIn: (log) => {
      const [, monitor] = /Starting http monitor on 127\.0\.0\.1:(\d+)/.exec(log) ?? [];
      const [, port] = /Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(log) ?? [];
      if (monitor === undefined || port === undefined || !log.includes('Server is ready')) return null;
      monitorPort = Number(monitor);
      return Number(port);
    },
  });
  return { process: process_, monitorPort: () => monitorPort };
}

/** Written anew for each start: the port is a free one at first and stays the same from then on. @returns the file. */
function writeNatsConfig(folder: string, store: string, port: number, more: string): string {
  const file = path.join(folder, 'nats.conf');
  const lines = [
    `listen: "127.0.0.1:${port === 0 ? -1 : port}"`,
    'http: "127.0.0.1:-1"',
    `jetstream { store_dir: ${JSON.stringify(store)}, max_file_store: 20GB }`,
    more,
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
