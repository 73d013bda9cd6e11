// From the words of `espalier fetch` to what it does. Pure: looks at no file.
import { FlagReader, type RawFlags } from './flag-reader.ts';
import { outputProblem } from './output-inputs.ts';
import { type ClusterSettings, readCluster, readTargets } from './parse-cluster.ts';

export interface FetchSettings {
  /** Ids of jobs or the beginnings of them; empty with a campaign. */
  readonly ids: readonly string[];
  readonly campaign: string | null;
  readonly out: string;
  readonly force: boolean;
  /** As the campaign wrote them; empty: all. */
  readonly budgets: readonly string[];
  readonly json: boolean;
  readonly quiet: boolean;
  readonly cluster: ClusterSettings;
}

/** @throws EspalierError "usage" that tells of every problem at once. */
export function parseFetch(
  operands: readonly string[],
  rawFlags: RawFlags,
  cwd: string,
  env: NodeJS.ProcessEnv,
): FetchSettings {
  const flags = new FlagReader(rawFlags, env);
  const settings: FetchSettings = {
    ...readTargets(flags, operands),
    out: flags.required('out', 'DIR'),
    force: flags.switched('force'),
    budgets: flags.all('budget').flatMap((list) => list.split(',').map((text) => text.trim())),
    json: flags.switched('json'),
    quiet: flags.switched('quiet'),
    cluster: readCluster(flags),
  };
  const problem = outputProblem({ out: settings.out, model: '', data: '', evaluation: null }, cwd);
  if (problem !== null) flags.problem(problem);
  flags.throwProblems('fetch');
  return settings;
}
