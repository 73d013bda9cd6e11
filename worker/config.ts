// Configuration of a worker process: flags > environment (ESPALIER_…) > defaults, read once into one object.
import path from 'node:path';
import { EspalierError } from '../shared/errors.ts';
import { isLoopback } from '../shared/rpc/loopback.ts';
import type { TlsFiles } from '../shared/rpc/tls-files.ts';

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
  /** Memory that the engine may use; null: the engine decides by what the device has. */
  readonly memoryBytes: number | null;
  readonly device: Device;
  /** Tasks that may wait behind the one that computes. */
  readonly queue: number;
  /** null: no TLS, and whoever reaches the port is served. */
  readonly tls: TlsFiles | null;
}

export type WorkerCommand =
  | { readonly kind: 'serve' | 'print-config'; readonly config: WorkerConfig }
  | { readonly kind: 'help'; readonly text: string };

interface Setting {
  readonly defaultText: string;
  readonly help: string;
  /** What is allowed, or null when `text` is. */
  readonly problem: (text: string) => string | null;
}

const GB = 1e9;

const SETTINGS = {
  host: { defaultText: '127.0.0.1', help: 'address to listen on', problem: filled },
  port: { defaultText: '7077', help: 'port to listen on, 0 for any free one', problem: integer(0, 65535) },
  'blob-dir': { defaultText: '', help: 'folder of the blob cache', problem: filled },
  'blob-limit-gb': { defaultText: '50', help: 'size of the blob cache', problem: number(0.001, 1e6) },
  threads: { defaultText: '1', help: 'threads of one TensorFlow operation', problem: integer(1, 1024) },
  'memory-gb': {
    defaultText: 'auto',
    help: 'memory that the engine may use',
    problem: (text) => (text === 'auto' ? null : number(0.1, 1e5)(text) && 'a number in [0.1, 100000] or "auto"'),
  },
  device: { defaultText: 'auto', help: 'cpu, gpu or auto', problem: oneOf('auto', 'cpu', 'gpu') },
  queue: { defaultText: '4', help: 'tasks that may wait behind the one that computes', problem: integer(0, 64) },
  'tls-ca': { defaultText: '', help: "authority of the coordinators' certificates", problem: anything },
  'tls-certificate': { defaultText: '', help: "this worker's certificate", problem: anything },
  'tls-key': { defaultText: '', help: 'its private key', problem: anything },
} as const satisfies Record<string, Setting>;

type SettingName = keyof typeof SETTINGS;

const TLS_NAMES = ['tls-ca', 'tls-certificate', 'tls-key'] as const;

const SWITCHES = ['print-config', 'help', 'insecure'];

const NAMES = Object.keys(SETTINGS) as SettingName[];

/** Reads the configuration. @throws EspalierError "usage" that lists every problem. */
export function parseWorkerConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): WorkerCommand {
  const problems: string[] = [];
  const { given, switches } = readFlags(argv, problems);
  if (switches.has('help')) return { kind: 'help', text: helpText(env) };
  const texts = {} as Record<SettingName, string>;
  for (const name of NAMES) {
    const variable = environmentName(name);
    const [source, text] = given.has(name)
      ? [`--${name}`, given.get(name)!]
      : env[variable] !== undefined
        ? [variable, env[variable]]
        : [`--${name}`, defaultOf(name, env)];
    const expected = SETTINGS[name].problem(text);
    if (expected !== null) problems.push(`${source}: got "${text}", expected ${expected}`);
    texts[name] = text;
  }
  const tls = readTls(texts, problems);
  if (tls === null && !switches.has('insecure') && !isLoopback(texts.host))
    problems.push(
      `--host: got ${texts.host} without TLS; give --tls-ca, --tls-certificate and --tls-key, or --insecure`,
    );
  if (problems.length > 0)
    throw new EspalierError('usage', problems.join('; '), { action: 'see the flags with --help' });
  return { kind: switches.has('print-config') ? 'print-config' : 'serve', config: configOf(texts, tls) };
}

/** All three files or none. */
function readTls(texts: Readonly<Record<SettingName, string>>, problems: string[]): TlsFiles | null {
  const missing = TLS_NAMES.filter((name) => texts[name] === '');
  if (missing.length === TLS_NAMES.length) return null;
  if (missing.length > 0)
    problems.push(
      `${missing.map((name) => `--${name}`).join(', ')}: missing; TLS takes all of --${TLS_NAMES.join(', --')}`,
    );
  return { ca: texts['tls-ca'], certificate: texts['tls-certificate'], key: texts['tls-key'] };
}

function configOf(texts: Readonly<Record<SettingName, string>>, tls: TlsFiles | null): WorkerConfig {
  return {
    host: texts.host,
    port: Number(texts.port),
    blobDir: path.resolve(texts['blob-dir']),
    blobLimitBytes: Number(texts['blob-limit-gb']) * GB,
    threads: Number(texts.threads),
    memoryBytes: texts['memory-gb'] === 'auto' ? null : Number(texts['memory-gb']) * GB,
    device: texts.device as Device,
    queue: Number(texts.queue),
    tls,
  };
}

function readFlags(argv: readonly string[], problems: string[]) {
  const given = new Map<string, string>();
  const switches = new Set<string>();
  for (let i = 0; i < argv.length; i += 1) {
    const [, name = '', inline] = /^--([^=]+)(?:=(.*))?$/s.exec(argv[i]) ?? [];
    if (SWITCHES.includes(name) && inline === undefined) switches.add(name);
    else if (!Object.hasOwn(SETTINGS, name)) problems.push(`${argv[i]}: unknown`);
    else if (given.has(name)) problems.push(`--${name}: given twice`);
    else if (inline !== undefined) given.set(name, inline);
    else if (i + 1 < argv.length && !argv[i + 1].startsWith('--')) given.set(name, argv[++i]);
    else problems.push(`--${name}: got no value`);
  }
  return { given, switches };
}

function defaultOf(name: SettingName, env: Readonly<Record<string, string | undefined>>): string {
  if (name !== 'blob-dir') return SETTINGS[name].defaultText;
  const cache = env.XDG_CACHE_HOME || (env.HOME ? path.join(env.HOME, '.cache') : '');
  return cache === '' ? '' : path.join(cache, 'espalier', 'blobs');
}

function environmentName(name: SettingName): string {
  return `ESPALIER_${name.toUpperCase().replaceAll('-', '_')}`;
}

function helpText(env: Readonly<Record<string, string | undefined>>): string {
  const lines = NAMES.map(
    (name) =>
      `  --${name.padEnd(15)} ${SETTINGS[name].help} (${environmentName(name)}; default ${defaultOf(name, env) || 'none'})`,
  );
  const switches = [
    '  --insecure        listen without TLS where other machines can connect',
    '  --print-config    show the settings in force and end',
  ];
  return ['Usage: worker [flags]', ...lines, ...switches, ''].join('\n');
}

function anything(): null {
  return null;
}

function filled(text: string): string | null {
  return text.trim() === '' ? 'a text that is not empty' : null;
}

function integer(least: number, most: number) {
  return (text: string): string | null =>
    /^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most
      ? null
      : `a whole number in [${least}, ${most}]`;
}

function number(least: number, most: number) {
  return (text: string): string | null =>
    /^\d+(\.\d+)?$/.test(text) && Number(text) >= least && Number(text) <= most
      ? null
      : `a number in [${least}, ${most}]`;
}

function oneOf(...choices: string[]) {
  return (text: string): string | null => (choices.includes(text) ? null : `one of ${choices.join(', ')}`);
}
