// Configuration of a coordinator process: flags > environment (ESPALIER_…) > defaults, read once into one object.
import { hostname } from 'node:os';
import path from 'node:path';
import type { BusSettings } from '../shared/bus/bus.ts';
import {
  HEALTH_SETTINGS,
  helpText,
  readBus,
  readSettings,
  readTls,
  requireNone,
  type Setting,
} from '../shared/process-config.ts';
import type { TlsFiles } from '../shared/rpc/tls-files.ts';
import {
  anything,
  cacheFolder,
  dnsName,
  filled,
  httpUrl,
  integer,
  natsServers,
  number,
  oneOf,
  orElse,
} from '../shared/setting-checks.ts';

export interface CoordinatorConfig {
  readonly host: string;
  /** 0: any free port, which the log tells of. */
  readonly port: number;
  /** Seen by users as the owner of jobs. */
  readonly id: string;
  readonly bus: BusSettings;
  /** null: no TLS, and whoever reaches the port is served. */
  readonly tls: TlsFiles | null;
  /** Connects without TLS to workers of other machines. */
  readonly insecure: boolean;
  /** What every worker's certificate must name; null: the host of its address. */
  readonly workerTlsName: string | null;
  readonly cacheDir: string;
  readonly cacheLimitBytes: number;
  /** Folders that jobs may read, by the names that campaigns use. */
  readonly volumes: Readonly<Record<string, string>>;
  /** null: by the size of the fleet. */
  readonly maxJobs: number | null;
  readonly leaseMs: number;
  readonly retentionMs: number;
  /** null: that of the store that is there; of a new one 100 GB, or less where JetStream has not so much room. */
  readonly storeLimitBytes: number | null;
  /** Servers of NATS that keep a copy of each stream. */
  readonly replicas: number;
  readonly metricsHost: string;
  /** 0: none. */
  readonly metricsPort: number;
  readonly healthHost: string;
  /** 0: none. */
  readonly healthPort: number;
  readonly otlpEndpoint: string | null;
}

export type CoordinatorCommand =
  | { readonly kind: 'serve' | 'print-config'; readonly config: CoordinatorConfig }
  | { readonly kind: 'help'; readonly text: string };

const GB = 1e9;
const DAY_MS = 86_400_000;

/** Part of a key in the bucket of leases. */
const ID = /^[A-Za-z0-9_-]{1,64}$/;
const VOLUME_NAME = /^[A-Za-z0-9_-]{1,64}$/;

const SETTINGS = {
  host: { defaultText: '127.0.0.1', help: 'address to listen on', problem: filled },
  port: { defaultText: '7070', help: 'port to listen on, 0 for any free one', problem: integer(0, 65535) },
  id: { defaultText: '', help: 'name in the records of the jobs that it runs', problem: idProblem },
  nats: { defaultText: 'nats://127.0.0.1:4222', help: 'NATS, URLs separated by commas', problem: natsServers },
  'nats-credentials': { defaultText: '', help: 'file with the credentials for NATS', problem: anything },
  'nats-tls-ca': { defaultText: '', help: 'authority of the certificate of NATS', problem: anything },
  'nats-tls-certificate': { defaultText: '', help: "this coordinator's certificate for NATS", problem: anything },
  'nats-tls-key': { defaultText: '', help: 'its private key', problem: anything },
  'tls-ca': { defaultText: '', help: 'authority of the certificates of workers and users', problem: anything },
  'tls-certificate': { defaultText: '', help: "this coordinator's certificate", problem: anything },
  'tls-key': { defaultText: '', help: 'its private key', problem: anything },
  'worker-tls-name': {
    defaultText: '',
    help: "name in every worker's certificate, in place of the host of its address",
    problem: orElse('', dnsName),
  },
  'cache-dir': { defaultText: '', help: 'folder for cached blobs and for jobs that run', problem: cacheFolder },
  'cache-limit-gb': { defaultText: '50', help: 'size of the cached blobs', problem: number(0.001, 1e6) },
  volume: {
    defaultText: '',
    help: 'NAME=FOLDER that jobs may read; repeatable',
    problem: volumesProblem,
    isRepeatable: true,
  },
  'max-jobs': {
    defaultText: 'auto',
    help: 'jobs to run at once; auto: by the number of workers',
    problem: orElse('auto', integer(1, 10_000)),
  },
  'lease-seconds': { defaultText: '10', help: 'silence after which others take its jobs', problem: number(1, 600) },
  'retention-days': {
    defaultText: '7',
    help: 'how long jobs that have ended are kept',
    problem: number(0.001, 36_500),
  },
  'store-limit-gb': {
    defaultText: 'auto',
    help: 'size of the object store; auto: as it is, a new one 100 or what JetStream has room for',
    problem: orElse('auto', number(0.001, 1e6)),
  },
  'nats-replicas': {
    defaultText: '1',
    help: 'servers of NATS that keep a copy of each stream; the same on all coordinators',
    problem: oneOf('1', '3', '5'),
  },
  'metrics-host': { defaultText: '127.0.0.1', help: 'address of the metrics', problem: filled },
  'metrics-port': { defaultText: '9470', help: 'port of the metrics, 0 for none', problem: integer(0, 65535) },
  ...HEALTH_SETTINGS,
  'otlp-endpoint': {
    defaultText: '',
    help: 'base URL of an OTLP/HTTP receiver of traces',
    problem: orElse('', httpUrl),
    commonVariable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
  },
} as const satisfies Record<string, Setting>;

type SettingName = keyof typeof SETTINGS;
type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the configuration. @throws EspalierError "usage" that lists every problem. */
export function parseCoordinatorConfig(argv: readonly string[], env: Environment): CoordinatorCommand {
  const settings = {
    ...SETTINGS,
    id: { ...SETTINGS.id, defaultText: defaultId() },
    'cache-dir': { ...SETTINGS['cache-dir'], defaultText: defaultCacheDir(env) },
  };
  const read = readSettings<SettingName>(settings, argv, env);
  if (read.switches.has('help')) return { kind: 'help', text: helpText('espalier coordinator [flags]', settings) };
  const tls = readTls(read);
  const bus = readBus(read);
  if (tls === null && read.texts['worker-tls-name'] !== '')
    read.problems.push('--worker-tls-name: got one without TLS; give --tls-ca, --tls-certificate and --tls-key');
  requireNone(read.problems);
  const { texts } = read;
  return {
    kind: read.switches.has('print-config') ? 'print-config' : 'serve',
    config: {
      host: texts.host,
      port: Number(texts.port),
      id: texts.id,
      bus: bus!,
      tls,
      insecure: read.switches.has('insecure'),
      workerTlsName: texts['worker-tls-name'] || null,
      cacheDir: path.resolve(texts['cache-dir']),
      cacheLimitBytes: Number(texts['cache-limit-gb']) * GB,
      volumes: Object.fromEntries(volumesOf(texts.volume).map(([name, folder]) => [name, path.resolve(folder)])),
      maxJobs: texts['max-jobs'] === 'auto' ? null : Number(texts['max-jobs']),
      leaseMs: Number(texts['lease-seconds']) * 1000,
      retentionMs: Number(texts['retention-days']) * DAY_MS,
      storeLimitBytes: texts['store-limit-gb'] === 'auto' ? null : Number(texts['store-limit-gb']) * GB,
      replicas: Number(texts['nats-replicas']),
      metricsHost: texts['metrics-host'],
      metricsPort: Number(texts['metrics-port']),
      healthHost: texts['health-host'] || texts['metrics-host'],
      healthPort: Number(texts['health-port']),
      otlpEndpoint: texts['otlp-endpoint'] || null,
    },
  };
}

function idProblem(text: string): string | null {
  return ID.test(text) ? null : '1 to 64 letters, digits, "-" and "_"';
}

function volumesProblem(text: string): string | null {
  const volumes = volumesOf(text);
  const areWhole = volumes.every(([name, folder]) => VOLUME_NAME.test(name) && folder !== '');
  if (!areWhole) return 'NAME=FOLDER, several separated by commas; a name has 1 to 64 letters, digits, "-" and "_"';
  return new Set(volumes.map(([name]) => name)).size === volumes.length ? null : 'each name once';
}

function volumesOf(text: string): [name: string, folder: string][] {
  if (text === '') return [];
  return text.split(',').map((volume) => {
    const [name, ...folder] = volume.split('=');
    return [name, folder.join('=')];
  });
}

/** Of this host and process: several coordinators of one machine tell themselves apart. */
function defaultId(): string {
  const host = hostname().replaceAll(/[^A-Za-z0-9_-]+/g, '-');
  return `${host.slice(0, 48) || 'coordinator'}-${process.pid}`;
}

function defaultCacheDir(env: Environment): string {
  const cache = env.XDG_CACHE_HOME || (env.HOME ? path.join(env.HOME, '.cache') : '');
  return cache === '' ? '' : path.join(cache, 'espalier', 'coordinator');
}
