// From the words of `espalier report` to what it does. Pure: looks at no file.
import { FlagReader, type RawFlags } from './flag-reader.ts';

export interface ReportSettings {
  /** As the user wrote them. */
  readonly folders: readonly string[];
  /** File of the one page, or of the one that compares; null: in the one folder. */
  readonly out: string | null;
  readonly json: boolean;
}

/** @throws EspalierError "usage" that tells of every problem at once. */
export function parseReportWords(folders: readonly string[], rawFlags: RawFlags): ReportSettings {
  const flags = new FlagReader(rawFlags);
  const out = flags.text('out');
  if (folders.length === 0) flags.problem('DIR: missing');
  if (folders.some((folder) => folder === '')) flags.problem('DIR: got an empty value');
  if (folders.length > 1 && out === null) flags.problem('--out FILE: missing, expected one to compare several folders');
  flags.throwProblems('report');
  return { folders, out, json: flags.switched('json') };
}
