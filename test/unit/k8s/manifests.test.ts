// The rendered manifests are those of the sources, and hold what they must. That each check can fail is in
// mutations.test.ts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CHECKS } from '../../support/kubernetes/checks.ts';
import {
  find,
  GENERATED_SOURCES,
  RENDERED,
  readRendered,
  staleness,
  workloadsOf,
} from '../../support/kubernetes/objects.ts';

for (const name of RENDERED)
  describe(`k8s/rendered/${name}.yaml`, () => {
    it('is what the sources make', () => assert.equal(staleness(name), null));

    for (const [check, problemsOf] of Object.entries(CHECKS))
      it(`has no problem of ${check}`, () => assert.deepEqual(problemsOf(readRendered(name)), []));

    it('keeps the volume of NATS when the rest is deleted', () => {
      const stores = readRendered(name).filter(({ kind }) => kind === 'StatefulSet');
      for (const { spec } of stores)
        assert.deepEqual(spec?.persistentVolumeClaimRetentionPolicy, { whenDeleted: 'Retain', whenScaled: 'Retain' });
      assert.equal(stores.length, name === 'existing-nats' ? 0 : 1);
    });

    it('has the nats.conf that deploy/nats makes', () => {
      const maps = readRendered(name).filter(({ kind, data }) => kind === 'ConfigMap' && data?.['nats.conf']);
      const source = name === 'dev' ? 'k8s/overlays/dev/nats.conf' : 'k8s/base/nats.conf';
      for (const { data } of maps) assert.equal(data!['nats.conf'], GENERATED_SOURCES[source]);
      assert.equal(maps.length, name === 'existing-nats' ? 0 : 1);
    });

    it('can be taken away but for the namespace and claims', () => {
      const left = readRendered(name).filter(({ metadata }) =>
        ['namespace', 'models'].includes(metadata.labels?.['app.kubernetes.io/component'] ?? ''),
      );
      const kinds = left.map(({ kind }) => kind);
      assert.deepEqual(kinds, ['Namespace', ...(name === 'large-gpu-pool' ? ['PersistentVolumeClaim'] : [])]);
    });

    it('asks for Pod Security "restricted"', () => {
      const { labels = {} } = find(readRendered(name), 'Namespace', 'espalier').metadata;
      for (const mode of ['enforce', 'audit', 'warn'])
        assert.equal(labels[`pod-security.kubernetes.io/${mode}`], 'restricted');
    });
  });

describe('overlays', () => {
  it('dev has one of each and asks for no operator', () => {
    const objects = readRendered('dev');
    for (const { name, object } of workloadsOf(objects)) assert.equal(object.spec?.replicas, 1, name);
    const groups = ['', 'apps', 'networking.k8s.io', 'scheduling.k8s.io'];
    for (const { apiVersion, kind } of objects) {
      const [group] = apiVersion.includes('/') ? apiVersion.split('/') : [''];
      assert.ok(groups.includes(group), `${kind} of ${apiVersion}`);
    }
  });

  it('gpu has workers from none to many, each on a GPU', () => {
    const objects = readRendered('gpu');
    const { minReplicaCount, maxReplicaCount, triggers = [] } = find(objects, 'ScaledObject', 'worker').spec!;
    assert.equal(minReplicaCount, 0);
    assert.equal(maxReplicaCount, 8);
    assert.deepEqual(
      triggers.map(({ type, name }) => [type, name]),
      [
        ['nats-jetstream', 'jobs'],
        ['metrics-api', 'tasks'],
      ],
    );
  });

  it('kueue differs from gpu in the queue of the workers alone', () => {
    const queue = 'kueue.x-k8s.io/queue-name';
    const objects = readRendered('kueue');
    const worker = find(objects, 'Deployment', 'worker');
    for (const labels of [worker.metadata.labels!, worker.spec!.template!.metadata.labels]) {
      assert.equal(labels[queue], 'espalier');
      delete labels[queue];
    }
    assert.deepEqual(objects, readRendered('gpu'));
  });

  it('large-gpu-pool has a worker for each GPU of a pod, and models on a volume', () => {
    const objects = readRendered('large-gpu-pool');
    const [container] = find(objects, 'Deployment', 'worker').spec!.template!.spec.containers;
    assert.equal(container.resources?.limits?.['nvidia.com/gpu'], 4);
    assert.equal(find(objects, 'ScaledObject', 'worker').spec?.triggers?.[1]?.type, 'prometheus');
    assert.equal(find(objects, 'PersistentVolumeClaim', 'models').metadata.namespace, 'espalier');
  });
});
