// KEDA on the real queue: from no worker to as many as there are GPUs, more with a node more, and back to none.
import assert from 'node:assert/strict';
import { allDone, campaignOf, localFlags } from './jobs.ts';
import type { Event } from './kube-objects.ts';
import { paths } from './names.ts';
import type { World } from './world.ts';

/** At four jobs a worker the queue alone asks for four workers, until a quick machine has done some. */
const [JOBS, SAMPLES] = [16, 512];
/** Jobs whose models are made once more without the cluster. */
const COMPARED = [0, JOBS - 1];
const SCALE_SECONDS = 60;
const WORKER_SECONDS = 60;
const JOB_SECONDS = 300;

export async function queueScalesWorkers(world: World): Promise<void> {
  const { api, lab, timeline } = world;
  await noWorkers(world);
  const client = await world.openClient('gpu');
  const jobs = await client.submit(campaignOf('scaling', JOBS, SAMPLES));
  timeline.say(`${JOBS} jobs submitted`);

  const asked = await world.eventually(
    'KEDA asks for workers, one runs on the only GPU and others wait for one',
    () => timeline.look(),
    ({ replicas, ready, pending }) => replicas >= 2 && ready === 1 && pending >= 1,
    SCALE_SECONDS + WORKER_SECONDS,
  );
  const events = await api.list<Event>(`${paths.events}?fieldSelector=reason%3DFailedScheduling`);
  const reason = events.map(({ message = '' }) => message).find((message) => message.includes('nvidia.com/gpu'));
  assert.ok(reason, 'an event says that GPUs are lacking');
  timeline.say(reason.replace(/,? ?preemption.*/, ''));

  await lab.cluster('gpu-nodes', '3');
  timeline.say('two nodes with a GPU each added');
  await world.eventually(
    'the new nodes run workers',
    () => timeline.look(),
    ({ ready }) => ready >= Math.min(3, asked.replicas),
    WORKER_SECONDS,
  );
  for (const { metadata, spec } of await world.pods('worker'))
    if (spec.nodeName !== undefined) assert.match(spec.nodeName, /^gpu-/, metadata.name);

  const ended = await allDone(world, client, Object.values(jobs), JOB_SECONDS);
  assert.deepEqual(
    ended.map(({ attempt }) => attempt),
    ended.map(() => 1),
    'no job was claimed twice',
  );
  await noWorkers(world);
  timeline.say('back to no worker');

  for (const seed of COMPARED) {
    const here = await client.pruneLocally(localFlags(seed, SAMPLES), `seed-${seed}`);
    assert.deepEqual(await client.digests(jobs[`seed-${seed}`]), here);
  }
  timeline.say(`the files of ${COMPARED.length} jobs have the digests of a local run`);
}

/** Resolves when KEDA has scaled the workers to none and the last process is gone. */
export async function noWorkers({ agent, timeline, eventually }: World): Promise<void> {
  await eventually(
    'no worker is left',
    () => timeline.look(),
    ({ replicas, pods, ending }) => replicas + pods + ending === 0,
    SCALE_SECONDS * 2,
  );
  for (const { pod, container, code, wasKilled } of agent.endings.filter(({ pod }) => pod.startsWith('worker')))
    assert.deepEqual({ code, wasKilled }, { code: 0, wasKilled: false }, `${container} of ${pod}`);
}
