// The flags that several commands share, read from a FlagReader.
import { MOST_THREADS, timingProblems, USUAL_TIMING } from '../coordinator/job/timing-settings.ts';
import {
  type ColumnSettings,
  RUNTIMES,
  type TimingSettings,
  type WorkerSettings,
} from '../coordinator/prune-settings.ts';
import { hostOf, isAddress } from '../shared/rpc/address.ts';
import { isLoopback } from '../shared/rpc/loopback.ts';
import type { TlsFiles } from '../shared/rpc/tls-files.ts';
import type { FlagReader } from './flag-reader.ts';

const TLS_NAMES = ['tls-ca', 'tls-certificate', 'tls-key'] as const;

/** How a command talks to its user; no part of what the job is asked. */
export interface OutputSettings {
  /** One JSON object on standard output instead of tables. */
  readonly json: boolean;
  /** No progress. */
  readonly quiet: boolean;
}

export function readOutput(flags: FlagReader): OutputSettings {
  return { json: flags.switched('json'), quiet: flags.switched('quiet') };
}

/** The command's folder operand; "" after noting that it is missing. */
export function readFolder(flags: FlagReader, operand: string | undefined, placeholder: string): string {
  if (operand === undefined || operand === '') flags.problem(`${placeholder}: missing`);
  return operand ?? '';
}

export function readColumns(flags: FlagReader): ColumnSettings {
  const columns = {
    text: flags.text('text-column'),
    textPair: flags.text('text-pair-column'),
    label: flags.text('label-column'),
    question: flags.text('question-column'),
    context: flags.text('context-column'),
    answers: flags.text('answers-column'),
  };
  return Object.fromEntries(Object.entries(columns).filter(([, column]) => column !== null));
}

/** Longest input and overlap of windows, in tokens. */
export function readLengths(flags: FlagReader): { readonly maxLength: number | null; readonly stride: number } {
  return {
    maxLength: flags.integer('max-length', { min: 2, max: 1_000_000 }, null),
    stride: flags.integer('stride', { min: 0, max: 1_000_000 }, 128),
  };
}

/** How speed is measured; notes what is wrong with it. */
export function readTiming(flags: FlagReader): TimingSettings {
  const counts = (name: string, usual: readonly number[]) => {
    const texts = flags.all(name).flatMap((list) => list.split(','));
    for (const text of texts)
      if (!/^\d{1,9}$/.test(text.trim()))
        flags.problem(`--${name}: got ${text.trim() || 'nothing'}, expected a whole number`);
    const numbers = texts.filter((text) => /^\d{1,9}$/.test(text.trim())).map(Number);
    return texts.length > 0 && numbers.length > 0 ? numbers : usual;
  };
  const timing = {
    runtime: flags.choice('runtime', RUNTIMES, USUAL_TIMING.runtime),
    batchSizes: counts('batch-size', USUAL_TIMING.batchSizes),
    lengths: counts('length', USUAL_TIMING.lengths),
    threads: flags.integer('threads', { min: 1, max: MOST_THREADS }, USUAL_TIMING.threads),
  };
  for (const { name, text } of timingProblems(timing)) flags.problem(`--${name}: ${text}`);
  return timing;
}

export function readWorkers(flags: FlagReader): WorkerSettings {
  const addresses = flags.all('worker');
  const tls = readTlsFor(flags, 'worker', addresses);
  const min = addresses.length > 0 ? 0 : 1;
  const kernels = flags.choice('kernels', ['auto', 'fused', 'plain'], null);
  const local = flags.integer('workers', { min, max: 1024 }, addresses.length > 0 ? 0 : null);
  // A worker that already runs has been told its own.
  for (const name of local === 0 ? (['device', 'kernels'] as const) : [])
    if (flags.text(name) !== null)
      flags.problem(
        `--${name}: got ${flags.text(name)} with workers that already run alone, expected --workers beside it`,
      );
  return {
    local,
    addresses,
    tls: addresses.length > 0 ? tls : null,
    device: flags.choice('device', ['auto', 'cpu', 'gpu'], 'auto'),
    ...(kernels !== null && { kernels }),
  };
}

/** All three files or none. */
function readTls(flags: FlagReader): TlsFiles | null {
  const given = TLS_NAMES.map((name) => flags.textOrVariable(name));
  const missing = TLS_NAMES.filter((_, i) => given[i] === null);
  if (missing.length === TLS_NAMES.length) return null;
  if (missing.length > 0)
    flags.problem(
      `${missing.map((name) => `--${name}`).join(', ')}: missing; TLS takes all of --${TLS_NAMES.join(', --')}`,
    );
  const [ca, certificate, key] = given.map((file) => file ?? '');
  return { ca, certificate, key };
}

/** The certificates for processes at these addresses, null: none; notes what is wrong with them and with the addresses, which
 * flag `name` gave. */
export function readTlsFor(
  flags: FlagReader,
  name: 'worker' | 'coordinator',
  addresses: readonly string[],
): TlsFiles | null {
  for (const address of addresses)
    if (!isAddress(address)) flags.problem(`--${name}: got ${address || 'nothing'}, expected host:port`);
  if (new Set(addresses).size < addresses.length) flags.problem(`--${name}: the same address is given twice`);
  const tls = readTls(flags);
  const isOpen = (address: string) => isAddress(address) && !isLoopback(hostOf(address));
  const open = tls !== null || flags.switched('insecure') ? [] : addresses.filter(isOpen);
  if (open.length > 0)
    flags.problem(
      `--${name}: got ${open.join(', ')} without TLS; give --tls-ca, --tls-certificate and --tls-key, or --insecure`,
    );
  return tls;
}
