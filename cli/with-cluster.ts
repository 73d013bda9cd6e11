// What all commands of a cluster do around their work.
import { EspalierError } from '../shared/errors.ts';
import type { ClusterClient } from './client/cluster-client.ts';
import type { CliContext } from './context.ts';
import type { ClusterSettings } from './parse-cluster.ts';

/** What a command says when it is interrupted: the cluster goes on without it. */
export interface Interruption {
  readonly message: string;
  readonly action: string;
}

const USUAL: Interruption = { message: 'interrupted', action: 'see `espalier list` for what was done' };

/** Runs `work` with a client that is closed afterwards. */
export async function withCluster<Result>(
  context: CliContext,
  settings: ClusterSettings,
  work: (client: ClusterClient) => Promise<Result>,
  interruption: Interruption = USUAL,
): Promise<Result> {
  return interruptible(context, interruption, async () => {
    const client = await context.cluster.connect(settings, context.signal);
    try {
      return await work(client);
    } finally {
      client.close();
    }
  });
}

/** @throws EspalierError "cancelled" that says what became of it, when the user has interrupted. */
export async function interruptible<Result>(
  { signal }: Pick<CliContext, 'signal'>,
  { message, action }: Interruption,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (caught) {
    if (!signal.aborted) throw caught;
    throw new EspalierError('cancelled', message, { action });
  }
}

export function writeJson({ stdout }: CliContext, value: unknown): void {
  stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
