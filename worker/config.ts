// Configuration of a worker process: flags > environment (ESPALIER_…) > defaults, read once into one object.
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
  byteCount,
  bytesOf,
  cacheFolder,
  filled,
  hostAndPort,
  httpUrl,
  integer,
  natsServers,
  number,
  oneOf,
  orElse,
} from '../shared/setting-checks.ts';
import { KERNELS_WANTED, type KernelsWanted } from './engine/kernels/kernels-wanted.ts';

export type Device = 'auto' | 'cpu' | 'gpu';

export interface WorkerConfig {
  readonly host: string;
  /** 0: any free port, announced when the worker is ready. */
  readonly port: number;
  /** Folder of the blob cache; workers of one machine may share it. */
  readonly blobDir: string;
  readonly blobLimitBytes: number;
  /** Threads of one TensorFlow operation; part of the device class. */
  readonly threads: number;
  /** Memory that the engine may use; null: all of the GPU's, or a share of the machine's. */
  readonly memoryBytes: number | null;
  /** What TensorFlow may take of the GPU's memory; null: all that is free when it starts. */
  readonly gpuMemoryBytes: number | null;
  readonly device: Device;
  /** Part of the device class, by what is chosen. */
  readonly kernels: KernelsWanted;
  /** Tasks that may wait behind the one that computes. */
  readonly queue: number;
  /** null: no TLS, and whoever reaches the port is served. */
  readonly tls: TlsFiles | null;
  /** NATS of the cluster; null: the worker serves those who know its address, and gets blobs from them alone. */
  readonly bus: BusSettings | null;
  /** Under which coordinators reach it; null: where it listens. */
  readonly advertise: AdvertisedAddress | null;
  readonly metricsHost: string;
  /** 0: none. */
  readonly metricsPort: number;
  readonly healthHost: string;
  /** 0: none. Of several workers their supervisor has it. */
  readonly healthPort: number;
  /** How long a worker that ends goes on with the task that it computes. */
  readonly drainMs: number;
  /** "auto": one a GPU, one on a CPU. More than one: this process supervises them. */
  readonly workers: 'auto' | number;
  readonly otlpEndpoint: string | null;
}

export interface AdvertisedAddress {
  readonly host: string;
  /** null: the port that the worker listens on. */
  readonly port: number | null;
}

export type WorkerCommand =
  | { readonly kind: 'serve' | 'print-config'; readonly config: WorkerConfig }
  | { readonly kind: 'help'; readonly text: string };

const GB = 1e9;
const MOST_WORKERS = 64;
/** Of a limit of the GPU's memory: TensorFlow itself takes some. */
export const LEAST_GPU_BYTES = 1e8;

const SETTINGS = {
  host: { defaultText: '127.0.0.1', help: 'address to listen on', problem: filled },
  port: { defaultText: '7077', help: 'port to listen on, 0 for any free one', problem: integer(0, 65535) },
  'blob-dir': { defaultText: '', help: 'folder of the blob cache', problem: cacheFolder },
  'blob-limit-gb': { defaultText: '50', help: 'size of the blob cache', problem: number(0.001, 1e6) },
  threads: { defaultText: '1', help: 'threads of one TensorFlow operation', problem: integer(1, 1024) },
  'memory-gb': {
    defaultText: 'auto',
    help: 'memory that the engine may use',
    problem: orElse('auto', number(0.1, 1e5)),
  },
  'gpu-memory': {
    defaultText: 'auto',
    help: "what TensorFlow may take of the GPU's memory: 16GB, 500MB or bytes; auto for all that is free",
    problem: orElse('auto', byteCount(LEAST_GPU_BYTES)),
  },
  device: { defaultText: 'auto', help: 'cpu, gpu or auto', problem: oneOf('auto', 'cpu', 'gpu') },
  kernels: {
    defaultText: 'auto',
    help: 'fused, plain, or auto: fused ones where the set-up has compiled them',
    problem: oneOf(...KERNELS_WANTED),
  },
  queue: { defaultText: '4', help: 'tasks that may wait behind the one that computes', problem: integer(0, 64) },
  'tls-ca': { defaultText: '', help: "authority of the coordinators' certificates", problem: anything },
  'tls-certificate': { defaultText: '', help: "this worker's certificate", problem: anything },
  'tls-key': { defaultText: '', help: 'its private key', problem: anything },
  nats: { defaultText: '', help: 'NATS of the cluster, URLs separated by commas', problem: orElse('', natsServers) },
  'nats-credentials': { defaultText: '', help: 'file with the credentials for NATS', problem: anything },
  'nats-tls-ca': { defaultText: '', help: 'authority of the certificate of NATS', problem: anything },
  'nats-tls-certificate': { defaultText: '', help: "this worker's certificate for NATS", problem: anything },
  'nats-tls-key': { defaultText: '', help: 'its private key', problem: anything },
  advertise: {
    defaultText: '',
    help: 'HOST:PORT, or HOST, under which coordinators reach this worker',
    problem: orElse('', hostAndPort),
  },
  'metrics-host': { defaultText: '127.0.0.1', help: 'address of the metrics', problem: filled },
  'metrics-port': { defaultText: '9471', help: 'port of the metrics, 0 for none', problem: integer(0, 65535) },
  ...HEALTH_SETTINGS,
  'drain-seconds': {
    defaultText: '10',
    help: 'how long a worker that ends goes on with its task',
    problem: number(0, 3600),
  },
  workers: {
    defaultText: 'auto',
    help: 'processes: one supervises the others where there are several; auto for one a GPU',
    problem: orElse('auto', integer(1, MOST_WORKERS)),
  },
  'otlp-endpoint': {
    defaultText: '',
    help: 'base URL of an OTLP/HTTP receiver of traces',
    problem: orElse('', httpUrl),
    commonVariable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
  },
} as const satisfies Record<string, Setting>;

type SettingName = keyof typeof SETTINGS;

/** Reads the configuration. @throws EspalierError "usage" that lists every problem. */
export function parseWorkerConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): WorkerCommand {
  const settings = { ...SETTINGS, 'blob-dir': { ...SETTINGS['blob-dir'], defaultText: defaultBlobDir(env) } };
  const read = readSettings<SettingName>(settings, argv, env);
  const { texts, switches, problems } = read;
  if (switches.has('help')) return { kind: 'help', text: helpText('espalier worker [flags]', settings) };
  const tls = readTls(read);
  const bus = readBus(read);
  if (bus !== null && texts.advertise === '' && isAnyAddress(texts.host))
    problems.push(`--advertise: missing; --host ${texts.host} names no address that coordinators could be told`);
  checkPorts(texts, problems);
  requireNone(problems);
  return { kind: switches.has('print-config') ? 'print-config' : 'serve', config: configOf(texts, tls, bus) };
}

/** Several workers take ports one after the other. */
function checkPorts(texts: Readonly<Record<SettingName, string>>, problems: string[]): void {
  const count = texts.workers === 'auto' ? 1 : Number(texts.workers);
  for (const name of ['port', 'metrics-port'] as const) {
    const first = Number(texts[name]);
    if (first > 0 && first <= 65535 && first + count - 1 > 65535)
      problems.push(`--${name}: got ${first} for ${count} workers, expected at most ${65536 - count}`);
  }
}

function isAnyAddress(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

function configOf(
  texts: Readonly<Record<SettingName, string>>,
  tls: TlsFiles | null,
  bus: BusSettings | null,
): WorkerConfig {
  return {
    host: texts.host,
    port: Number(texts.port),
    blobDir: path.resolve(texts['blob-dir']),
    blobLimitBytes: Number(texts['blob-limit-gb']) * GB,
    threads: Number(texts.threads),
    memoryBytes: texts['memory-gb'] === 'auto' ? null : Number(texts['memory-gb']) * GB,
    gpuMemoryBytes: texts['gpu-memory'] === 'auto' ? null : bytesOf(texts['gpu-memory']),
    device: texts.device as Device,
    kernels: texts.kernels as KernelsWanted,
    queue: Number(texts.queue),
    tls,
    bus,
    advertise: advertisedOf(texts.advertise),
    metricsHost: texts['metrics-host'],
    metricsPort: Number(texts['metrics-port']),
    healthHost: texts['health-host'] || texts['metrics-host'],
    healthPort: Number(texts['health-port']),
    drainMs: Number(texts['drain-seconds']) * 1000,
    workers: texts.workers === 'auto' ? 'auto' : Number(texts.workers),
    otlpEndpoint: texts['otlp-endpoint'] || null,
  };
}

function advertisedOf(text: string): AdvertisedAddress | null {
  if (text === '') return null;
  const [, host, port] = /^(\[.*\]|[^:]+)(?::(\d+))?$/.exec(text) ?? [];
  return { host, port: port === undefined ? null : Number(port) };
}

function defaultBlobDir(env: Readonly<Record<string, string | undefined>>): string {
  const cache = env.XDG_CACHE_HOME || (env.HOME ? path.join(env.HOME, '.cache') : '');
  return cache === '' ? '' : path.join(cache, 'espalier', 'blobs');
}
