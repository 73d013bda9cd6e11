// The API server takes all that is checked in: rendered with this kubectl, strictly validated, without a warning.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../shared/project-root.ts';
import type { Workload } from './kube-objects.ts';
import { paths, RENDERED } from './names.ts';
import type { World } from './world.ts';

const DELETE_SECONDS = 60;
const READY_SECONDS = 60;

/** A container that the namespace's standard "restricted" forbids. */
const FORBIDDEN = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'forbidden', namespace: 'espalier' },
  spec: { containers: [{ name: 'root', image: 'root:1', securityContext: { privileged: true } }] },
};

/** `npm run k8s:render -- --check`. @throws when k8s/rendered is not what the lab's kubectl makes of k8s/. */
export async function renderedIsCurrent({ lab }: World): Promise<void> {
  const script = path.join(projectRoot(), 'deploy/kubernetes/render.mjs');
  const env = { ...process.env, KUBECTL: lab.program('kubectl') };
  await promisify(execFile)(process.execPath, [script, '--check'], { env });
}

/** Every object of every overlay and example passes admission: server-side dry run with strict validation. */
export async function everyObjectIsAccepted(world: World): Promise<void> {
  const { lab, timeline } = world;
  // What lies in a namespace is refused before it is there.
  await lab.kubectlOk('apply', '--server-side', '-f', world.manifests('base', 'namespace.yaml'));
  for (const [name, folder] of Object.entries(RENDERED)) {
    const flags = ['--server-side', '--dry-run=server', '--validate=strict', '--output=name'];
    const accepted = (await lab.kubectlOk('apply', ...flags, '-k', world.manifests(folder))).trim().split('\n');
    const rendered = readFileSync(world.manifests('rendered', `${name}.yaml`), 'utf8');
    assert.equal(accepted.length, rendered.match(/^kind: /gm)?.length, `${name}: ${accepted.join(' ')}`);
    timeline.say(`${name}: ${accepted.length} objects accepted, no warning`);
  }
}

/** The control: what should be refused is. */
export async function wrongObjectsAreRefused(world: World): Promise<void> {
  const { lab, timeline } = world;
  const apply = (object: object) =>
    lab.kubectlInput(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], object);
  const privileged = await apply(FORBIDDEN);
  assert.notEqual(privileged.code, 0);
  assert.match(privileged.stderr, /violates PodSecurity "restricted/);
  const unknown = await apply({ ...FORBIDDEN, spec: { ...FORBIDDEN.spec, containerz: [] } });
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /unknown field "spec\.containerz"/);
  timeline.say('a privileged pod and an unknown field are refused');
  await world.deleteNamespace(DELETE_SECONDS);
}

/** The overlay kueue over a running gpu: the same workers, in a queue. */
export async function kueueLabelsWorkers(world: World): Promise<void> {
  const { api, lab, timeline } = world;
  await lab.kubectlOk('apply', '--validate=strict', '-k', world.manifests('overlays', 'kueue'));
  const { metadata } = await api.get<Workload>(paths.deployment('worker'));
  assert.equal(metadata.labels?.['kueue.x-k8s.io/queue-name'], 'espalier');
  await world.ready(paths.deployment('coordinator'), READY_SECONDS);
  timeline.say('overlay kueue applied: the workers have their queue');
}
