// Prometheus' own checker of rules, where it is installed.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What ESPALIER_PROMTOOL names, or else the promtool in PATH; null: neither is there. */
export function findPromtool(env: NodeJS.ProcessEnv = process.env): string | null {
  const named = env.ESPALIER_PROMTOOL ?? '';
  if (named !== '') return existsSync(named) ? named : null;
  const folders = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return folders.map((folder) => join(folder, 'promtool')).find((file) => existsSync(file)) ?? null;
}

/** One line on why there is none. */
export function promtoolMissing({ ESPALIER_PROMTOOL: named = '' }: NodeJS.ProcessEnv = process.env): string {
  return named === ''
    ? 'there is no promtool in PATH; ESPALIER_PROMTOOL names one'
    : `ESPALIER_PROMTOOL: there is no file ${named}`;
}

/** @param args "check rules FILE" and its like, one word each. */
export function runPromtool(promtool: string, args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(promtool, args, { encoding: 'utf8', timeout: 60_000 });
}
