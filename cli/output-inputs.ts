// An output folder must not hold what its run reads, or --force would replace both. Looked at twice: by the paths as they
// were written, with all other flags, and by where links lead, before the job starts.
import { realpath } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import type { PruneSettings } from '../coordinator/prune-settings.ts';
import { EspalierError } from '../shared/errors.ts';

type Paths = Pick<PruneSettings, 'out' | 'model' | 'data' | 'evaluation'>;

/** What is wrong with the output folder of a run, or null. Looks at no file.
 * @param cwd folder that relative paths start at.
 * @param written the output folder as the user wrote it. */
export function outputProblem({ out, model, data, evaluation }: Paths, cwd: string, written = out): string | null {
  if (out === '') return null;
  const inputs = { 'the model': model, '--data': data, '--eval': evaluation ?? '', 'the working folder': '.' };
  for (const [name, input] of Object.entries(inputs)) {
    if (input === '') continue;
    const path = relative(resolve(cwd, out), resolve(cwd, input));
    const inside = path !== '..' && !path.startsWith('../');
    if (inside) return `--out: got ${written}, expected a folder that does not hold ${name}`;
  }
  return null;
}

/** @throws EspalierError "usage" when the output folder holds an input that is reached through a link. */
export async function refuseLinkedInputs(paths: Paths, cwd: string): Promise<void> {
  const follow = (path: string) => realpath(resolve(cwd, path)).catch(() => resolve(cwd, path));
  const { model, data, evaluation } = paths;
  const followed = {
    out: await follow(paths.out),
    model: await follow(model),
    data: await follow(data),
    evaluation: evaluation === null ? null : await follow(evaluation),
  };
  const problem = outputProblem(followed, await follow('.'), paths.out);
  if (problem !== null) throw new EspalierError('usage', problem, { action: 'choose another --out' });
}
