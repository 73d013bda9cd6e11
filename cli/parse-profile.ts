// From the words of `espalier profile` to the settings of a job. Pure: looks at no file.
import type { ProfileSettings } from '../coordinator/profile-job.ts';
import { FlagReader, type RawFlags } from './flag-reader.ts';
import { type OutputSettings, readFolder, readOutput, readTiming, readWorkers } from './parse-common.ts';

const USUAL_TOKENS = 128;

/** @throws EspalierError "usage" that tells of every problem at once. */
export function parseProfile(
  model: string | undefined,
  rawFlags: RawFlags,
  env: NodeJS.ProcessEnv = {},
): { readonly settings: ProfileSettings; readonly output: OutputSettings } {
  const flags = new FlagReader(rawFlags, env);
  const timing = readTiming(flags);
  for (const [name, values] of [
    ['batch-size', timing.batchSizes],
    ['length', timing.lengths],
  ] as const)
    if (values.length > 1) flags.problem(`--${name}: got ${values.join(', ')}, expected one: a table is of one shape`);
  const settings: ProfileSettings = {
    model: readFolder(flags, model, 'MODEL'),
    timing: { ...timing, lengths: timing.lengths.length > 0 ? timing.lengths : [USUAL_TOKENS] },
    again: flags.switched('again'),
    out: flags.text('out'),
    workers: readWorkers(flags),
  };
  const output = readOutput(flags);
  flags.throwProblems('profile');
  return { settings, output };
}
