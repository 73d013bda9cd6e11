// Fewer workers in the middle of jobs: each that goes drains, and no work is lost or repeated.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { allDone, campaignOf } from './jobs.ts';
import { paths } from './names.ts';
import type { PodRun } from './pod.ts';
import { scrape } from './timeline.ts';
import type { World } from './world.ts';

const [JOBS, SAMPLES] = [4, 1536];
const WORKERS = 3;
const START_SECONDS = 150;
const DRAIN_SECONDS = 120;
const JOB_SECONDS = 300;
const PROBE_MS = 100;
const METRICS_PORT = 9471;
/** Of each coordinator at each worker. That which computes is finished; the others go elsewhere, nothing computed of them. */
const TASKS_IN_FLIGHT = 2;
const COORDINATORS = 2;

/** What is seen of a worker from SIGTERM to its end. */
interface Drain {
  readonly pod: string;
  /** The readiness probe, asked all the while. */
  wasUnready: boolean;
  /** The liveness probe, while the process ran. */
  wasAlive: boolean;
  metrics: Readonly<Record<string, number>>;
}

export async function scaleDownDrains(world: World): Promise<void> {
  const { api, agent, timeline } = world;
  const client = await world.openClient('draining');
  const before = await retries(world);
  const endedBefore = agent.endings.length;
  const jobs = await client.submit(campaignOf('draining', JOBS, SAMPLES));
  await world.eventually(
    `${WORKERS} workers compute`,
    async () => ({ ...(await timeline.look()), busy: await busyWorkers(agent.podsOf('worker')) }),
    ({ ready, busy }) => ready === WORKERS && busy === WORKERS,
    START_SECONDS,
  );
  await api.patch(paths.scaledObject('worker'), { spec: { maxReplicaCount: 1 } });
  timeline.say('at most one worker is allowed from now on');

  const watched = agent.podsOf('worker').map((run) => watchDrain(run));
  await world.eventually(
    'two workers have ended',
    async () => agent.endings.slice(endedBefore).filter(({ container }) => container === 'worker'),
    (endings) => endings.length >= WORKERS - 1,
    DRAIN_SECONDS,
  );
  const running = (await timeline.look()).jobs;
  const endings = agent.endings.slice(endedBefore).filter(({ container }) => container === 'worker');
  for (const { pod, code, wasAsked, wasKilled, drainSeconds } of endings) {
    assert.deepEqual({ code, wasAsked, wasKilled }, { code: 0, wasAsked: true, wasKilled: false }, pod);
    timeline.say(`${pod} drained for ${drainSeconds.toFixed(1)} s and ended with 0; jobs: ${JSON.stringify(running)}`);
  }
  assert.ok((running.running ?? 0) > 0, `jobs still ran: ${JSON.stringify(running)}`);

  await allDone(world, client, Object.values(jobs), JOB_SECONDS);
  for (const drain of await Promise.all(watched))
    checkDrain(
      drain,
      endings.some(({ pod }) => pod === drain.pod),
    );
  const made = await retries(world);
  const again = Object.entries(made)
    .map(([reason, count]) => [reason, count - (before[reason] ?? 0)] as const)
    .filter(([, count]) => count > 0);
  timeline.say(`tasks sent once more: ${again.map(([reason, count]) => `${count} (${reason})`).join(', ') || 'none'}`);
  assert.ok(
    again.every(([reason]) => reason === 'worker_unavailable'),
    JSON.stringify(again),
  );
  const most = endings.length * TASKS_IN_FLIGHT * COORDINATORS;
  assert.ok(
    again.every(([, count]) => count <= most),
    `at most ${most} tasks were in flight: ${JSON.stringify(again)}`,
  );
  await api.patch(paths.scaledObject('worker'), { spec: { maxReplicaCount: 8 } });
}

/** Of a worker that drained: not ready, but alive, and every task that it began was computed to its end. */
function checkDrain({ pod, wasUnready, wasAlive, metrics }: Drain, hasEnded: boolean): void {
  if (!hasEnded) return;
  assert.ok(wasUnready, `${pod} was not ready while it drained`);
  assert.ok(wasAlive, `${pod} was alive while it drained`);
  const outcomes = Object.entries(metrics).filter(([name]) => name.startsWith('espalier_worker_tasks_total'));
  for (const [name, count] of outcomes) if (!/"(done|refused)"/.test(name)) assert.equal(count, 0, `${pod}: ${name}`);
}

/** Asks a worker's probes and metrics until it has ended. */
async function watchDrain(run: PodRun): Promise<Drain> {
  const drain: Drain = { pod: run.name, wasUnready: false, wasAlive: true, metrics: {} };
  const [container] = run.containers;
  while (container.state !== 'terminated') {
    if (container.state === 'draining') {
      const [ready, alive, metrics] = await Promise.all([
        run.ask('readinessProbe'),
        run.ask('livenessProbe'),
        scrape(run.address, METRICS_PORT),
      ]);
      if (ready !== null && alive === null) drain.wasUnready = true;
      if (alive?.includes('NOT_SERVING')) drain.wasAlive = false;
      drain.metrics = metrics ?? drain.metrics;
    }
    await pause(PROBE_MS);
  }
  return drain;
}

async function busyWorkers(runs: readonly PodRun[]): Promise<number> {
  const all = await Promise.all(runs.map(({ address }) => scrape(address, METRICS_PORT)));
  return all.filter((metrics) => (metrics?.espalier_worker_tasks ?? 0) > 0).length;
}

/** Tasks that all coordinators have sent once more, by reason. */
async function retries({ agent }: World): Promise<Readonly<Record<string, number>>> {
  const sums: Record<string, number> = {};
  for (const { address } of agent.podsOf('coordinator'))
    for (const [name, count] of Object.entries((await scrape(address, 9470)) ?? {})) {
      const [, reason] = /^espalier_task_retries_total\{reason="(\w+)"\}$/.exec(name) ?? [];
      if (reason !== undefined) sums[reason] = (sums[reason] ?? 0) + count;
    }
  return sums;
}
