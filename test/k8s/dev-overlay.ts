// The overlay dev as its reader uses it: certificates by the script, one of each on CPUs, one job to its end.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../shared/project-root.ts';
import { allDone, campaignOf } from './jobs.ts';
import { paths } from './names.ts';
import type { World } from './world.ts';

const READY_SECONDS = 120;
const JOB_SECONDS = 180;
const SAMPLES = 256;

export async function devOverlayPrunes(world: World): Promise<void> {
  const { lab, timeline } = world;
  await lab.kubectlOk('apply', '-f', world.manifests('base', 'namespace.yaml'));
  const script = path.join(projectRoot(), 'deploy/kubernetes/make-certificates.mjs');
  const env = { ...process.env, KUBECTL: lab.program('kubectl'), KUBECONFIG: lab.kubeconfig };
  await promisify(execFile)(process.execPath, [script], { env });
  await lab.kubectlOk('apply', '--validate=strict', '-k', world.manifests('overlays', 'dev'));
  for (const workload of [paths.statefulSet('nats'), paths.deployment('coordinator'), paths.deployment('worker')])
    await world.ready(workload, READY_SECONDS);
  timeline.say('overlay dev: NATS, coordinator and worker are ready');
  for (const pod of await world.pods('worker')) assert.match(pod.spec.nodeName ?? '', /^cpu-/);
  const client = await world.openClient('dev');
  const jobs = await client.submit(campaignOf('dev', 1, SAMPLES));
  await allDone(world, client, Object.values(jobs), JOB_SECONDS);
  await world.deleteNamespace(READY_SECONDS);
  for (const { pod, container, code, wasKilled } of world.agent.endings.filter(
    ({ container }) => container !== 'reload',
  ))
    assert.deepEqual({ code, wasKilled }, { code: 0, wasKilled: false }, `${container} of ${pod}`);
  timeline.say('overlay dev: one job done; deleted, every process ended with 0');
}
