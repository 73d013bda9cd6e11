// From one version to the next while jobs run, in the order of docs/kubernetes.md: pods are replaced one after the other, and
// every job goes on.
import assert from 'node:assert/strict';
import { applyGpuOverlay } from './gpu-cluster.ts';
import { allDone, campaignOf } from './jobs.ts';
import type { World } from './world.ts';

const NEXT_VERSION = '0.2.0';
const PARTS = ['nats', 'coordinator', 'worker'] as const;
const [JOBS, SAMPLES] = [3, 1536];
const START_SECONDS = 120;
const ROLLOUT = '--timeout=180s';
const ROLLOUT_MS = 200_000;
const JOB_SECONDS = 300;
/** Of coordinators; workers drain in seconds. */
const GRACE_SECONDS = 30;

export async function upgradeKeepsJobs(world: World): Promise<void> {
  const { agent, lab, timeline } = world;
  const client = await world.openClient('upgrade');
  const jobs: string[] = [];
  const endedBefore = agent.endings.length;
  for (const part of PARTS) {
    // Each part finds jobs under way, however quick the machine was with those before.
    jobs.push(...Object.values(await client.submit(campaignOf(`upgrade-${part}`, JOBS, SAMPLES))));
    await world.eventually(
      'jobs run on workers',
      () => timeline.look(),
      ({ ready, jobs: states }) => ready > 0 && (states.running ?? 0) > 0,
      START_SECONDS,
    );
    const selector = `--selector=app.kubernetes.io/component=${part}`;
    await applyGpuOverlay(world, NEXT_VERSION, [selector]);
    const workload = part === 'nats' ? 'statefulset' : 'deployment';
    const rollout = await lab.kubectl(
      ['--namespace=espalier', 'rollout', 'status', workload, selector, ROLLOUT],
      ROLLOUT_MS,
    );
    assert.equal(rollout.code, 0, `${part}: ${rollout.stdout}${rollout.stderr}\n${agent.describe()}`);
    const { jobs: states } = await timeline.look();
    timeline.say(`${part}: ${rollout.stdout.trim().split('\n').at(-1)}; jobs: ${JSON.stringify(states)}`);
    for (const { metadata, spec } of part === 'nats' ? [] : await world.pods(part))
      assert.match(spec.containers[0].image, /:0\.2\.0(-gpu)?$/, metadata.name);
  }
  await applyGpuOverlay(world, NEXT_VERSION);
  await allDone(world, client, jobs, JOB_SECONDS);
  const ended = () => agent.endings.slice(endedBefore);
  const replaced = (name: string) => ended().filter(({ container }) => container === name).length;
  // A rollout has succeeded while the last of the old pods still drain.
  await world.eventually(
    'both old coordinators and a worker have ended',
    async () => ended(),
    () => replaced('coordinator') >= 2 && replaced('worker') >= 1,
    GRACE_SECONDS,
  );
  const endings = ended();
  for (const { pod, code, wasKilled } of endings)
    assert.deepEqual({ code, wasKilled }, { code: 0, wasKilled: false }, pod);
  timeline.say(`${replaced('coordinator')} coordinators and ${replaced('worker')} workers drained and ended with 0`);
}
