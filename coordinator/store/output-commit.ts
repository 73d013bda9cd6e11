// Putting a finished output in its place. At every moment the output folder is the old one whole, the new one whole, or
// absent with the old one whole beside it; in the last case, which lasts from one rename to the next, whoever opens the
// run folder next puts the old one back.
import { lstat, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EspalierError } from '../../shared/errors.ts';
import { syncPath } from '../../shared/sync-path.ts';
import { syncTree, writeFileAtomically } from './atomic-file.ts';

/** Where the parts of one run lie, all on one file system. */
export interface OutputPaths {
  readonly out: string;
  /** Folder of the run's state; holds the others. */
  readonly state: string;
  readonly staging: string;
  /** The output that is being replaced. */
  readonly replaced: string;
  /** File that is there from when the staged output is whole until the state is removed. */
  readonly marker: string;
}

/** Where the run of `out`, an absolute path, keeps its state: /a/.b.espalier for /a/b. */
export function outputPaths(out: string, name: string): OutputPaths {
  const state = join(dirname(out), `.${name}.espalier`);
  return {
    out,
    state,
    staging: join(state, 'staging'),
    replaced: join(state, 'replaced'),
    marker: join(state, 'committing'),
  };
}

/** Moves the staged output to its place and removes the run's state.
 * @param onStep called with the name of each step before it is taken; for crash tests.
 * @throws EspalierError "output_exists" when the output has appeared meanwhile and `force` is not given. */
export async function commitOutput(
  paths: OutputPaths,
  force: boolean,
  onStep: (step: string) => void = () => {},
): Promise<void> {
  const parent = dirname(paths.out);
  onStep('sync');
  await syncTree(paths.staging);
  onStep('mark');
  await writeFileAtomically(paths.marker, ['']);
  if (await isThere(paths.out)) {
    if (!force) throw new EspalierError('output_exists', `${paths.out}: appeared during the run`);
    onStep('move old aside');
    await rename(paths.out, paths.replaced);
  }
  onStep('move new in place');
  await rename(paths.staging, paths.out);
  await syncPath(parent);
  onStep('remove old');
  await rm(paths.replaced, { recursive: true, force: true });
  onStep('remove state');
  await removeState(paths);
  onStep('done');
}

/** Finishes or undoes a commit that a crash cut short. Call with the run's lock held.
 * @returns true when the earlier run had put its output in place, which is then whole. */
export async function recoverOutput(paths: OutputPaths): Promise<boolean> {
  if (!(await isThere(paths.marker))) return false;
  if (await isThere(paths.staging)) {
    if (await isThere(paths.replaced)) {
      if (await isThere(paths.out)) {
        const action = 'move one of the two away';
        const message = `${paths.out}: appeared while the output before it lay in ${paths.replaced}`;
        throw new EspalierError('output_exists', message, { action });
      }
      await rename(paths.replaced, paths.out);
      await syncPath(dirname(paths.out));
    }
    await rm(paths.marker);
    return false;
  }
  await removeState(paths);
  return true;
}

/** Removes the state of a run. The marker goes last, so that a crash meanwhile is seen as such. */
export async function removeState(paths: OutputPaths): Promise<void> {
  if (await isThere(paths.marker)) {
    for (const entry of ['run.json', 'stages', 'replaced', 'staging'])
      await rm(join(paths.state, entry), { recursive: true, force: true });
  }
  await rm(paths.state, { recursive: true, force: true });
}

export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (caught) {
    if ((caught as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw caught;
  }
}
