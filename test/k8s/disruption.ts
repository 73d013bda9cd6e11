// Nodes that are drained: the budget lets one coordinator go and holds the last one.
import assert from 'node:assert/strict';
import { paths } from './names.ts';
import type { World } from './world.ts';

const NODES = ['cpu-0', 'cpu-1', 'cpu-2'];
const READY_SECONDS = 90;
const DRAIN = '--timeout=15s';

export async function budgetHoldsTheLastCoordinator(world: World): Promise<void> {
  const { lab, timeline } = world;
  await world.ready(paths.deployment('coordinator'), READY_SECONDS);
  for (const node of NODES) await lab.kubectlOk('cordon', node);
  const only = ['--pod-selector=app.kubernetes.io/component=coordinator', '--delete-emptydir-data'];
  const { code, stderr } = await lab.kubectl(['drain', ...NODES, ...only, DRAIN]);
  assert.notEqual(code, 0, 'the drain waits in vain');
  assert.match(stderr, /Cannot evict pod as it would violate the pod's disruption budget/);
  timeline.say("kubectl drain: Cannot evict pod as it would violate the pod's disruption budget.");
  const pods = await world.pods('coordinator');
  const living = pods.filter(({ spec }) => spec.nodeName !== undefined);
  assert.equal(living.length, 1, 'one coordinator is left');
  assert.ok(
    living[0].status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'),
    'and it is ready',
  );
  for (const node of NODES) await lab.kubectlOk('uncordon', node);
  await world.ready(paths.deployment('coordinator'), READY_SECONDS);
  timeline.say('nodes take pods again: both coordinators are ready');
}
