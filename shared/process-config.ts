// Settings of processes: flags > environment (ESPALIER_…) > defaults, read once. Every problem is told of at once, with the
// name, what was got and what was expected.
import type { BusSettings } from './bus/bus.ts';
import { EspalierError } from './errors.ts';
import { withoutPassword } from './redact.ts';
import { isLoopback } from './rpc/loopback.ts';
import type { TlsFiles } from './rpc/tls-files.ts';
import { anything, integer, type SettingCheck } from './setting-checks.ts';

export interface Setting {
  readonly defaultText: string;
  readonly help: string;
  readonly problem: SettingCheck;
  /** May be given several times; its texts are joined by commas, as in the environment. */
  readonly isRepeatable?: boolean;
  /** A variable that others read, too; it counts where ours is not set. */
  readonly commonVariable?: string;
}

export type SettingTexts<Name extends string> = Readonly<Record<Name, string>>;

export interface ReadSettings<Name extends string> {
  readonly texts: SettingTexts<Name>;
  readonly switches: ReadonlySet<string>;
  /** More may be added before `requireNone`. */
  readonly problems: string[];
}

/** The same of every process. */
export const HEALTH_SETTINGS = {
  'health-host': { defaultText: '', help: 'address of the health port, else that of the metrics', problem: anything },
  'health-port': { defaultText: '0', help: 'port of gRPC health without TLS, 0 for none', problem: integer(0, 65535) },
} as const satisfies Record<string, Setting>;

const SWITCHES = ['print-config', 'help', 'insecure'];
const TLS_NAMES = ['tls-ca', 'tls-certificate', 'tls-key'] as const;
const NATS_TLS_NAMES = ['nats-tls-ca', 'nats-tls-certificate', 'nats-tls-key'] as const;

type TlsName = (typeof TLS_NAMES)[number];
type NatsName = 'nats' | 'nats-credentials' | (typeof NATS_TLS_NAMES)[number];
type Environment = Readonly<Record<string, string | undefined>>;

/** Reads the text of every setting. */
export function readSettings<Name extends string>(
  settings: Readonly<Record<Name, Setting>>,
  argv: readonly string[],
  env: Environment,
): ReadSettings<Name> {
  const problems: string[] = [];
  const { given, switches } = readFlags(settings, argv, problems);
  const texts = {} as Record<Name, string>;
  for (const name of Object.keys(settings) as Name[]) {
    const [source, text] = given.has(name)
      ? [`--${name}`, given.get(name)!]
      : textWithoutFlag(name, settings[name], env);
    const expected = settings[name].problem(text);
    // Errors are logged.
    if (expected !== null) problems.push(`${source}: got "${withoutPassword(text)}", expected ${expected}`);
    texts[name] = text;
  }
  return { texts, switches, problems };
}

/** @throws EspalierError "usage" that lists every problem. */
export function requireNone(problems: readonly string[]): void {
  if (problems.length === 0) return;
  throw new EspalierError('usage', problems.join('; '), { action: 'see the flags with --help' });
}

/** All three files or none; without them no address that other machines reach, unless that is asked for. */
export function readTls({ texts, switches, problems }: ReadSettings<TlsName | 'host'>): TlsFiles | null {
  const missing = TLS_NAMES.filter((name) => texts[name] === '');
  if (missing.length === TLS_NAMES.length) {
    if (!switches.has('insecure') && !isLoopback(texts.host))
      problems.push(
        `--host: got ${texts.host} without TLS; give --tls-ca, --tls-certificate and --tls-key, or --insecure`,
      );
    return null;
  }
  if (missing.length > 0)
    problems.push(
      `${missing.map((name) => `--${name}`).join(', ')}: missing; TLS takes all of --${TLS_NAMES.join(', --')}`,
    );
  return { ca: texts['tls-ca'], certificate: texts['tls-certificate'], key: texts['tls-key'] };
}

/** Everything about NATS says nothing without its address. */
export function readBus({ texts, problems }: ReadSettings<NatsName>): BusSettings | null {
  const more = ['nats-credentials', ...NATS_TLS_NAMES] as const;
  if (texts.nats === '') {
    const given = more.filter((name) => texts[name] !== '');
    if (given.length > 0) problems.push(`--nats: missing; got ${given.map((name) => `--${name}`).join(', ')}`);
    return null;
  }
  const [ca, certificate, key] = NATS_TLS_NAMES.map((name) => texts[name]);
  if ((certificate === '') !== (key === ''))
    problems.push('--nats-tls-certificate, --nats-tls-key: got one, expected both or none');
  if (ca === '' && certificate !== '') problems.push('--nats-tls-ca: missing; got --nats-tls-certificate');
  return {
    servers: texts.nats.split(','),
    credentials: texts['nats-credentials'] || null,
    tls: ca === '' ? null : { ca, certificate: certificate || null, key: key || null },
  };
}

function textWithoutFlag(name: string, setting: Setting, env: Environment): [source: string, text: string] {
  const variable = environmentName(name);
  if (env[variable] !== undefined) return [variable, env[variable]];
  const { commonVariable = '', defaultText } = setting;
  return env[commonVariable] ? [commonVariable, env[commonVariable]] : [`--${name}`, defaultText];
}

/** What --help shows. */
export function helpText(usage: string, settings: Readonly<Record<string, Setting>>): string {
  const lines = Object.entries(settings).map(([name, { help, defaultText, commonVariable }]) => {
    const variables = [environmentName(name), ...(commonVariable === undefined ? [] : [commonVariable])];
    return `  --${name.padEnd(20)} ${help} (${variables.join(' or ')}; default ${defaultText || 'none'})`;
  });
  const switches = [
    '  --insecure             listen without TLS where other machines can connect',
    '  --print-config         show the settings in force and end',
  ];
  return [`Usage: ${usage}`, ...lines, ...switches, ''].join('\n');
}

function readFlags(settings: Readonly<Record<string, Setting>>, argv: readonly string[], problems: string[]) {
  const given = new Map<string, string>();
  const switches = new Set<string>();
  const take = (name: string, text: string) => {
    const before = given.get(name);
    given.set(name, before === undefined ? text : `${before},${text}`);
  };
  for (let i = 0; i < argv.length; i += 1) {
    const [, name = '', inline] = /^--([^=]+)(?:=(.*))?$/s.exec(argv[i]) ?? [];
    if (SWITCHES.includes(name) && inline === undefined) switches.add(name);
    else if (!Object.hasOwn(settings, name)) problems.push(`${argv[i]}: unknown`);
    else if (given.has(name) && !settings[name].isRepeatable) problems.push(`--${name}: given twice`);
    else if (inline !== undefined) take(name, inline);
    else if (i + 1 < argv.length && !argv[i + 1].startsWith('--')) take(name, argv[++i]);
    else problems.push(`--${name}: got no value`);
  }
  return { given, switches };
}

function environmentName(name: string): string {
  return `ESPALIER_${name.toUpperCase().replaceAll('-', '_')}`;
}
