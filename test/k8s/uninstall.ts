// Taken away and applied again by the commands of docs/kubernetes.md: the store stays, with all jobs and models.
import assert from 'node:assert/strict';
import { applyGpuOverlay } from './gpu-cluster.ts';
import type { Pod } from './kube-objects.ts';
import { paths } from './names.ts';
import type { World } from './world.ts';

const SECONDS = 120;
const SELECTOR = '--selector=app.kubernetes.io/component notin (namespace, models)';

export async function uninstallKeepsModels(world: World): Promise<void> {
  const { api, lab, timeline } = world;
  const client = await world.openClient('uninstall');
  const before = await client.list();
  assert.deepEqual(
    before.filter(({ state }) => state !== 'done'),
    [],
  );
  const digests = await client.digests(before[0].id);
  await lab.kubectlOk('delete', '-k', world.manifests('overlays', 'gpu'), SELECTOR);
  await world.eventually(
    'no pod is left',
    () => api.list<Pod>(paths.pods),
    (pods) => pods.length === 0,
    SECONDS,
  );
  assert.ok(await api.find(paths.claim('store-nats-0')), 'the claim of NATS is there');
  timeline.say('everything but the namespace, the claims and the Secrets deleted; no pod is left');

  await applyGpuOverlay(world);
  await world.ready(paths.statefulSet('nats'), SECONDS);
  await world.ready(paths.deployment('coordinator'), SECONDS);
  const identities = (jobs: typeof before) => jobs.map(({ id, state }) => `${id} ${state}`).sort();
  assert.deepEqual(identities(await client.list()), identities(before));
  assert.deepEqual(await client.digests(before[0].id), digests);
  timeline.say(`applied again: all ${before.length} jobs and their models are there`);
}

/** At the end of everything: no container ended but by its pod's end, and the node agent had no trouble of its own. */
export async function nothingWasRestarted({ agent }: World): Promise<void> {
  assert.deepEqual(
    agent.endings.filter(({ wasAsked }) => !wasAsked),
    [],
  );
  assert.deepEqual(agent.problems, []);
}
