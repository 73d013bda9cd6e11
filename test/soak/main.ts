// `npm run soak`: thousands of small jobs through two coordinators and four workers that are killed at random. None may be
// lost, none be done twice, all of one kind must have the same bits, and nothing may grow with the number of jobs.
//
//   --jobs 2000    jobs in all
//   --seed 1       of which process is killed when
//   --kill 6       seconds between two kills, on average
import { parseArgs } from 'node:util';
import { randomStream } from '../../pruning/random.ts';
import { WORKER_SUBJECT } from '../../shared/bus/heartbeat.ts';
import { writeToyCampaign } from '../support/campaigns.ts';
import { Cluster } from '../support/cluster.ts';
import { JobWatch, resultDigests } from '../support/job-watch.ts';
import { JobsApi, submit } from '../support/jobs-api.ts';
import { natsState, nothingLeft } from '../support/leftovers.ts';
import { until } from '../support/until.ts';
import { Killer } from './killer.ts';
import { Sampler } from './sampler.ts';

/** Jobs of one campaign, and how many may be unfinished before the next is submitted. */
const CAMPAIGN_JOBS = 25;
const MODELS = 3;
/** gRPC's status of a job that is not there: an earlier try has deleted it. */
const NOT_FOUND = 5;
/** Longest that the last jobs may take. */
const DEADLINE_MS = 180_000;
/** Jobs differ in nothing but their model. */
const KINDS = MODELS;

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    kill: { type: 'string', default: '6' },
  },
});
const total = Number(values.jobs);
const problems: string[] = [];
/** Jobs that were deleted after they had been looked at. */
const removed = new Set<string>();

const cluster = await Cluster.start({ coordinators: 2, workers: 4, sharedBlobs: true });
let watch: JobWatch | null = null;
try {
  watch = await JobWatch.open(cluster.natsUrl);
  await soak(cluster, watch);
} finally {
  await watch?.close();
  await cluster.remove();
}
for (const problem of problems) console.error(`soak failed: ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;

async function soak(cluster: Cluster, watch: JobWatch): Promise<void> {
  const begin = performance.now();
  const folder = cluster.folderOf('client', 'campaign');
  const seconds = () => Math.round((performance.now() - begin) / 1000);

  // One job of each kind, undisturbed: what all the others must equal.
  const first = await submit(cluster, await writeToyCampaign(folder, 'first', { jobs: KINDS, models: MODELS }));
  await watch.done(first, DEADLINE_MS);
  const expected = first.map((id) => resultDigests(watch.record(id)));
  const rest = await natsState(cluster);
  console.log(`soak: ${KINDS} undisturbed jobs in ${seconds()} s; now ${total} with a kill every ${values.kill} s`);

  const sampler = new Sampler(cluster, () => done.size);
  const killer = new Killer(cluster, randomStream(Number(values.seed), 'soak'), Number(values.kill) * 1000);
  const kinds = new Map<string, number>();
  const done = new Map<string, string>();
  const check = () => {
    for (const [id, kind] of kinds) {
      if (done.has(id)) continue;
      const record = watch.recordOrNull(id);
      if (record === null || !['done', 'failed', 'cancelled'].includes(record.state)) continue;
      done.set(id, record.state);
      if (record.state !== 'done') problems.push(`${id} ended ${record.state}: ${JSON.stringify(record.failure)}`);
      else if (JSON.stringify(resultDigests(record)) !== JSON.stringify(expected[kind]))
        problems.push(`${id}: other bits than the undisturbed job of its kind`);
    }
  };
  const open = () => kinds.size - done.size;
  try {
    killer.start();
    await sampler.start();
    for (let campaign = 1; kinds.size < total; campaign += 1) {
      const jobs = Math.min(CAMPAIGN_JOBS, total - kinds.size);
      const file = await writeToyCampaign(folder, `campaign-${campaign}`, { jobs, models: MODELS });
      for (const [i, id] of (await submitThrough(cluster, file)).entries()) kinds.set(id, i % KINDS);
      await until(
        'most jobs of the campaign',
        () => {
          check();
          return open() <= CAMPAIGN_JOBS;
        },
        DEADLINE_MS * 5,
      );
      await removeEnded(cluster, [...done.keys()]);
      console.log(`soak: ${done.size} of ${total} done after ${seconds()} s, ${killer.kills} kills`);
    }
    await until(
      'the last jobs',
      () => {
        check();
        return open() === 0;
      },
      DEADLINE_MS,
    );
  } finally {
    await killer.stop();
    await sampler.stop();
  }
  await cluster.restore();
  await removeEnded(cluster, [...done.keys()]);
  for (const id of kinds.keys()) {
    const times = watch.states(id).filter((state) => state === 'done').length;
    if (times !== 1) problems.push(`${id} was done ${times} times`);
  }
  // Twice the coordinators' and workers' own, at most, while some of those that were killed are still listed.
  await nothingLeft(cluster, watch, rest);
  await heartbeatsComeFromAll(cluster, watch);
  problems.push(...sampler.problems());
  console.log(sampler.table());
  console.log(`soak: ${done.size} jobs in ${seconds()} s, ${killer.kills} kills, ${problems.length} problems`);
  await watch.close();
  await cluster.stop();
}

/** Submits to whichever coordinator answers: one may be killed meanwhile. The client's key makes it safe to try again. */
async function submitThrough(cluster: Cluster, file: string): Promise<readonly string[]> {
  for (let tries = 0; ; tries += 1) {
    const { name } = cluster.coordinators[tries % cluster.coordinators.length];
    try {
      return await submit(cluster, file, name);
    } catch (error) {
      if (tries >= 20) throw error;
    }
  }
}

/** Deletes jobs, so that the store holds no more for a thousand than for a hundred. */
async function removeEnded(cluster: Cluster, ids: readonly string[]): Promise<void> {
  let left = ids.filter((id) => !removed.has(id));
  for (let tries = 0; left.length > 0; tries += 1) {
    const api = new JobsApi(cluster.coordinators[tries % cluster.coordinators.length].address);
    for (const id of left)
      try {
        await api.delete(id);
        removed.add(id);
      } catch (error) {
        if ((error as { code?: number }).code === NOT_FOUND) removed.add(id);
        else if (tries >= 20) throw error;
        else break;
      }
    api.close();
    left = left.filter((id) => !removed.has(id));
  }
}

async function heartbeatsComeFromAll(cluster: Cluster, watch: JobWatch): Promise<void> {
  const heard = new Set<string>();
  const end = watch.bus.subscribe(`${WORKER_SUBJECT}.>`, (_, payload) => {
    heard.add((JSON.parse(Buffer.from(payload).toString()) as { address: string }).address);
  });
  await until(
    'all workers tell of themselves',
    () => cluster.workers.every(({ address }) => heard.has(address)),
    20_000,
  );
  end();
}
