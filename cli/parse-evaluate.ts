// From the words of `espalier evaluate` to the settings of a job. Pure: looks at no file.
import type { EvaluateSettings } from '../coordinator/evaluate-settings.ts';
import { FlagReader, type RawFlags } from './flag-reader.ts';
import { type OutputSettings, readColumns, readFolder, readLengths, readOutput, readWorkers } from './parse-common.ts';

/** @param model the folder operand.
 * @param env variables that stand in for flags.
 * @throws EspalierError "usage" that tells of every problem at once. */
export function parseEvaluate(
  model: string | undefined,
  rawFlags: RawFlags,
  env: NodeJS.ProcessEnv = {},
): { readonly settings: EvaluateSettings; readonly output: OutputSettings } {
  const flags = new FlagReader(rawFlags, env);
  const settings: EvaluateSettings = {
    model: readFolder(flags, model, 'DIR'),
    data: flags.required('data', 'FILE'),
    columns: readColumns(flags),
    metric: flags.text('metric'),
    ...readLengths(flags),
    workers: readWorkers(flags),
  };
  const output = readOutput(flags);
  flags.throwProblems('evaluate');
  return { settings, output };
}
