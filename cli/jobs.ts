// The real work behind the commands, loaded when it is asked for: help and usage errors should not wait for gRPC.
import type { Jobs } from './context.ts';

export const jobs: Jobs = {
  async prune(settings, context) {
    const { runPruneJob } = await import('../coordinator/prune-job.ts');
    return runPruneJob(settings, context);
  },

  async evaluate(settings, context) {
    const { runEvaluateJob } = await import('../coordinator/evaluate-job.ts');
    return runEvaluateJob(settings, context);
  },

  async profile(settings, context) {
    const { runProfileJob } = await import('../coordinator/profile-job.ts');
    return runProfileJob(settings, context);
  },

  async inspect(directory) {
    const { openCheckpoint } = await import('../checkpoint/open-checkpoint.ts');
    const { inspectCheckpoint } = await import('../checkpoint/inspect.ts');
    const checkpoint = await openCheckpoint(directory);
    try {
      return inspectCheckpoint(checkpoint);
    } finally {
      await checkpoint.close();
    }
  },

  async export(settings, signal) {
    const { runExportJob } = await import('../coordinator/export-job.ts');
    return runExportJob(settings, signal);
  },
};
