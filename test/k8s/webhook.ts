// What KEDA itself refuses of our ScaledObject: its definition the wrong bounds, its admission webhook a second one for the
// same workers.
import assert from 'node:assert/strict';
import type { KubeObject } from './kube-objects.ts';
import { NAMESPACE, paths } from './names.ts';
import type { World } from './world.ts';

interface ScaledObject extends KubeObject {
  readonly apiVersion: string;
  readonly spec: object;
}

export async function wrongScaledObjectsAreRefused({ api, lab, timeline }: World): Promise<void> {
  const { apiVersion, kind, spec } = await api.get<ScaledObject>(paths.scaledObject('worker'));
  const create = (name: string, changed: object) =>
    lab.kubectlInput(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], {
      ...{ apiVersion, kind, metadata: { name, namespace: NAMESPACE } },
      spec: { ...spec, ...changed },
    });

  const bounds = await create('other', { minReplicaCount: 5, maxReplicaCount: 3 });
  assert.notEqual(bounds.code, 0);
  assert.match(bounds.stderr, /minReplicaCount must be less than or equal to maxReplicaCount/);

  const second = await create('other', {});
  assert.notEqual(second.code, 0);
  // By whichever of the two it finds first.
  const told =
    /webhook "vscaledobject\.kb\.io" denied .* already managed by the (ScaledObject 'worker'|hpa 'keda-hpa-worker')/;
  assert.match(second.stderr, told);

  // The control: for other workers it is taken.
  const third = await create('other', { scaleTargetRef: { name: 'coordinator' } });
  assert.equal(third.code, 0, third.stderr);
  timeline.say(bounds.stderr.trim());
  timeline.say(second.stderr.trim());
}
