// How a cluster's job writes its models: in a thread, which sends the weights to the object store while it writes them, so that no
// byte of them passes the coordinator's loop.
import { prunedWeightBytes } from '../../checkpoint/write-pruned.ts';
import type { JobResources } from '../job-resources.ts';
import type { StandAside } from '../jobs/held-job.ts';
import type { WriteCall, WrittenWeights } from '../threads/write-model.ts';
import type { JobCompute } from './job-context.ts';

/** @param job its dense model's folder, which a thread opens by itself, and what models are written in. */
export function threadWriting(
  { writers, objects, bus }: Pick<JobResources, 'writers' | 'objects' | 'bus'>,
  { model, signal, aside }: { readonly model: string; readonly signal: AbortSignal; readonly aside: StandAside },
): Pick<JobCompute, 'write' | 'writeOnnx'> {
  const write = async (call: WriteCall, mostBytes: number): Promise<WrittenWeights> => {
    if (bus === null) return writers.run('write', call, { signal });
    let written: WrittenWeights | undefined;
    await objects.addSent(mostBytes, async (plan) => {
      written = await writers.run('write', { ...call, upload: { ...plan, bus } }, { signal });
      const { sha256, bytes: sizeBytes, sent } = written;
      return { digest: sha256, sizeBytes, ...sent! };
    });
    return written!;
  };
  return {
    write: ({ config }, masks, dtype, directory, layout, patches) =>
      aside(() => write({ model, masks, dtype, directory, layout, patches }, prunedWeightBytes(config, masks, dtype))),
    writeOnnx: (directory, dtype) => aside(() => writers.run('writeOnnx', { directory, dtype }, { signal })),
  };
}
