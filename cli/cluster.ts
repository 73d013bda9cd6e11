// The real cluster behind the commands, loaded when it is asked for: help and usage errors should not wait for gRPC.
import type { Cluster } from './context.ts';

/** A probe that takes longer has failed. */
const HEALTH_MS = 2_000;

export const cluster: Cluster = {
  async connect(settings, signal) {
    const { ClusterClient } = await import('./client/cluster-client.ts');
    return ClusterClient.open(settings, signal);
  },

  async openCampaign(file, options) {
    const { openCampaign } = await import('../coordinator/campaign/open-campaign.ts');
    return openCampaign(file, options);
  },

  async askHealth(address, service) {
    const { askHealth } = await import('../shared/rpc/ask-health.ts');
    await askHealth(address, service, HEALTH_MS);
  },

  async serve(program, words, env) {
    if (program === 'worker') {
      const { runWorker } = await import('../worker/main.ts');
      await runWorker(words, env);
    } else {
      const { runCoordinator } = await import('../coordinator/main.ts');
      await runCoordinator(words, env);
    }
  },
};
