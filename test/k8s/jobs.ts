// Jobs for the tests: the example's model and sentences, a different draw of samples each.
import assert from 'node:assert/strict';
import path from 'node:path';
import { projectRoot } from '../../shared/project-root.ts';
import type { Client, JobLine } from './client.ts';
import type { World } from './world.ts';

const BUDGET = 0.5;
const file = (...parts: readonly string[]) => path.join(projectRoot(), ...parts);

/** Speed is measured on the smallest batches: it is not what these jobs are for. */
const settings = (samples: number) => ({
  model: file('examples/mini-sst2'),
  data: file('demo-output/train.jsonl'),
  samples,
  'batch-size': 1,
  length: 16,
});

/** The first is tuned; the others are only searched, so that the processor is free for what is tested. */
const methodOf = (seed: number) => (seed === 0 ? 'paper' : 'search');

/** A campaign of jobs with the seeds 0, 1, …, each named by its seed. */
export function campaignOf(name: string, jobs: number, samples: number): object {
  return {
    name,
    defaults: { ...settings(samples), budgets: [BUDGET] },
    jobs: Array.from({ length: jobs }, (_, seed) => ({ name: `seed-${seed}`, seed, method: methodOf(seed) })),
  };
}

/** The same job for `Client.pruneLocally`. */
export function localFlags(seed: number, samples: number): readonly string[] {
  const { model, ...flags } = settings(samples);
  return [
    model,
    ...Object.entries({ ...flags, budget: BUDGET, seed, method: methodOf(seed) }).flatMap(([name, value]) => [
      `--${name}`,
      String(value),
    ]),
  ];
}

/** Resolves when no job of the cluster waits or runs any more. @throws when one of these has ended otherwise than done. */
export async function allDone(
  { timeline, eventually }: World,
  client: Client,
  ids: readonly string[],
  seconds: number,
): Promise<readonly JobLine[]> {
  await eventually(
    `${ids.length} jobs end`,
    () => timeline.look(),
    ({ jobs }) => Object.keys(jobs).length > 0 && !jobs.queued && !jobs.running,
    seconds,
  );
  const jobs = (await client.list()).filter(({ id }) => ids.includes(id));
  assert.deepEqual(
    jobs.map(({ name, state, error }) => ({ name, state, error })),
    jobs.map(({ name }) => ({ name, state: 'done', error: null })),
  );
  assert.equal(jobs.length, ids.length);
  timeline.say(`${jobs.length} jobs are done, claimed ${jobs.map(({ attempt }) => attempt).join(', ')} times`);
  return jobs;
}
