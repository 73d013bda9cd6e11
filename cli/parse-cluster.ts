// The flags of commands that speak to a cluster: where its coordinators are and how they are reached.
import type { TlsFiles } from '../shared/rpc/tls-files.ts';
import type { FlagReader } from './flag-reader.ts';
import { readTlsFor } from './parse-common.ts';

export interface ClusterSettings {
  /** host:port of coordinators, any of which will do. */
  readonly addresses: readonly string[];
  /** null: no TLS. */
  readonly tls: TlsFiles | null;
}

const USUAL_ADDRESS = 'localhost:7070';

export function readCluster(flags: FlagReader): ClusterSettings {
  const addresses = readAddresses(flags);
  return { addresses, tls: readTlsFor(flags, 'coordinator', addresses) };
}

function readAddresses(flags: FlagReader): string[] {
  const given = flags.all('coordinator');
  const texts = given.length > 0 ? given : [flags.variable('coordinator') ?? USUAL_ADDRESS];
  return texts.flatMap((text) => text.split(',')).map((text) => text.trim());
}

/** An id of a job or the beginning of one; "" after noting what is wrong with it. */
export function readId(flags: FlagReader, operand: string | undefined, placeholder = 'ID'): string {
  const id = (operand ?? '').toLowerCase();
  if (id === '') flags.problem(`${placeholder}: missing`);
  else if (!/^[0-9a-f]{4,64}$/.test(id))
    flags.problem(`${placeholder}: got ${operand}, expected an id, or the first 4 or more of its hexadecimal digits`);
  return id;
}

export interface Targets {
  /** Ids of jobs or the beginnings of them, each once. */
  readonly ids: readonly string[];
  /** Instead of them. */
  readonly campaign: string | null;
}

/** What a command is done to: jobs by their ids, or with --campaign all of one. */
export function readTargets(flags: FlagReader, operands: readonly string[]): Targets {
  const campaign = flags.text('campaign');
  if (campaign === null)
    return { ids: [...new Set((operands.length === 0 ? [''] : operands).map((id) => readId(flags, id)))], campaign };
  if (operands.length > 0) flags.problem('--campaign: got jobs as well, expected one of them');
  return { ids: [], campaign: readId(flags, campaign, '--campaign') };
}
