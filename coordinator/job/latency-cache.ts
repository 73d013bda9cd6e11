// Measured latency tables of this user, a file each, named by all that their numbers hold for: another machine, runtime, shape
// or model is another file.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  type LatencySetup,
  type LatencyTable,
  readLatencyTable,
  requireTableFor,
} from '../../pruning/latency-table.ts';
import { cacheFolder } from '../../shared/cache-folder.ts';
import { EspalierError, toEspalierError } from '../../shared/errors.ts';
import { writeFileAtomically } from '../store/atomic-file.ts';
import { canonicalJson } from '../store/fingerprint.ts';

export interface LatencyCache {
  /** The table that was measured for exactly this, or null: none was, or it is damaged. */
  read(setup: LatencySetup): Promise<LatencyTable | null>;
  write(table: LatencyTable): Promise<void>;
}

/** The cache in a folder, made when something is written. */
export function latencyCache(folder: string = cacheFolder('latency-tables')): LatencyCache {
  return {
    async read(setup) {
      const file = fileOf(folder, setup);
      try {
        const table = readLatencyTable(JSON.parse(await readFile(file, 'utf8')), file);
        requireTableFor(table, setup, file);
        return table;
      } catch (caught) {
        const isDamaged = caught instanceof SyntaxError || (caught as EspalierError).code === 'latency_table';
        if (isDamaged || (caught as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw caught;
      }
    },
    write: (table) => writeFileAtomically(fileOf(folder, table), [tableText(table)]),
  };
}

/** A table as a file. */
export function tableText(table: LatencyTable): string {
  return `${JSON.stringify(table, null, 2)}\n`;
}

/** A table that the user names. @throws EspalierError "latency_table" where it is none. */
export async function readTableFile(file: string): Promise<LatencyTable> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (caught) {
    const got = caught instanceof SyntaxError ? 'no JSON' : toEspalierError(caught).message;
    throw new EspalierError('latency_table', `${file}: got ${got}, expected a table of espalier profile`, {
      cause: caught,
    });
  }
  return readLatencyTable(value, file);
}

function fileOf(folder: string, { runtime, device, threads, batchSize, tokens, model }: LatencySetup): string {
  const key = canonicalJson({ runtime, device, threads, batchSize, tokens, model });
  return path.join(folder, `${createHash('sha256').update(key).digest('hex')}.json`);
}
