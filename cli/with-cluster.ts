// What all commands of a cluster do around their work.
import type { ClusterClient } from './client/cluster-client.ts';
import type { CliContext } from './context.ts';
import type { ClusterSettings } from './parse-cluster.ts';

/** Runs `work` with a client that is closed afterwards. */
export async function withCluster<Result>(
  context: CliContext,
  settings: ClusterSettings,
  work: (client: ClusterClient) => Promise<Result>,
): Promise<Result> {
  const client = await context.cluster.connect(settings, context.signal);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

export function writeJson({ stdout }: CliContext, value: unknown): void {
  stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
