// Submits: all or nothing, once for each key, whatever is cut off.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { submission } from '../../support/job-records.ts';
import { busAway, JobWorld, type Seat, withJobs } from '../../support/job-world.ts';
import { until } from '../../support/until.ts';

let world: JobWorld;
let seat: Seat;

before(async () => {
  world = await JobWorld.open();
  seat = await world.seat();
});
after(() => world.close());

const names = (count: number) => Array.from({ length: count }, (_, i) => `job ${i}`);
const unfinished = (campaign: string) => [...seat.store.index.unfinished()].filter((job) => job.campaign === campaign);

test('a campaign is there with all of its jobs, in its order, with a token each', async () => {
  const { campaign, jobs, created } = await seat.store.submit(submission('whole', names(40)));
  assert.equal(created, true);
  assert.match(campaign.id, /^[0-9a-f]{16}$/);
  assert.deepEqual(
    campaign.jobs,
    jobs.map(({ id }) => id),
  );
  assert.deepEqual(
    jobs.map(({ name }) => name),
    names(40),
  );
  assert.equal(unfinished(campaign.id).length, 40);
  assert.equal(await seat.bus.wake.count(), 40);
  assert.equal(seat.store.campaignName(campaign.id), 'campaign whole');
  assert.deepEqual(
    seat.store.list({ campaign: campaign.id, states: [], pageSize: 99, pageToken: '' }).jobs.map(({ name }) => name),
    names(40),
  );
});

test('the same key and content give the same campaign, other content is refused', async () => {
  const first = await seat.store.submit(submission('key', names(3)));
  const again = await seat.store.submit(submission('key', names(3)));
  assert.equal(again.created, false);
  assert.deepEqual(again.campaign, first.campaign);
  assert.deepEqual(again.jobs, first.jobs);
  for (const other of [names(2), ['job 0', 'job 1', { name: 'job 2', priority: 1 }]])
    await assert.rejects(seat.store.submit(submission('key', other)), { code: 'job_state' });
  assert.equal(unfinished(first.campaign.id).length, 3);
});

test('submits of one key at the same time make one campaign, of one content', async () => {
  const contents = [names(5), names(5), names(4), names(4)];
  const outcomes = await Promise.allSettled(contents.map((jobs) => seat.store.submit(submission('same', jobs))));
  const accepted = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  assert.equal(accepted.filter(({ created }) => created).length, 1);
  assert.equal(new Set(accepted.map(({ campaign }) => campaign.content)).size, 1);
  const [{ campaign }] = accepted;
  assert.equal(unfinished(campaign.id).length, campaign.jobs.length);
  assert.equal(accepted.length, 2, 'those of the content that won');
});

test('a submit that is cut off leaves nothing that runs or shows; sent again, it is whole', async () => {
  let left = 5;
  const cut = await world.seat((bus) =>
    withJobs(bus, (jobs) => ({
      create: (key, value) => (left-- > 0 ? jobs.create(key, value) : Promise.reject(busAway())),
    })),
  );
  const jobs = names(12);
  await assert.rejects(cut.store.submit(submission('cut', jobs)), { code: 'bus_unavailable' });
  await until('the other index has what is left', () =>
    [...seat.store.index.jobs()].some((job) => !seat.store.index.isListed(job)),
  );
  const ran: string[] = [];
  const before = new Set([...seat.store.index.unfinished()].map(({ id }) => id));
  const coordinator = await seat.coordinator('cut', {
    runJob: async (job) => {
      ran.push(job.record.name);
      return [];
    },
  });
  await until('all others have run', () => ran.length === before.size, 20_000);
  const { created, campaign } = await cut.store
    .submit(submission('cut', jobs))
    .catch(() => seat.store.submit(submission('cut', jobs)));
  assert.equal(created, true);
  await until('all of them have run', () => ran.length === before.size + 12, 20_000);
  await until('all are done', () => campaign.jobs.every((id) => seat.store.summary(id)?.state === 'done'));
  assert.equal(ran.length, before.size + 12, 'each of them once');
  await coordinator.drain();
});

test('a bucket of records that is nearly full takes no new campaign, and leaves room for those that run', async () => {
  const full = await world.seat((bus) =>
    withJobs(bus, () => ({ usage: async () => ({ bytes: 799_900, limitBytes: 1_000_000 }) })),
  );
  const before = [...seat.store.index.jobs()].length;
  await assert.rejects(full.store.submit(submission('full', ['one'])), {
    code: 'store_full',
    message: /got 0\.00\d MB more for the bucket of records of 1\.0 MB that holds 0\.800 MB, expected at most 80 %/,
  });
  assert.equal([...seat.store.index.jobs()].length, before);
});

test('a campaign whose blobs are missing is not stored, and runs once they are there', async () => {
  const missing = async () => {
    throw new EspalierError('blob_missing', 'a blob is missing');
  };
  await assert.rejects(seat.store.submit(submission('blobs', names(2)), missing), { code: 'blob_missing' });
  const { created, campaign } = await seat.store.submit(submission('blobs', names(2)));
  assert.equal(created, true);
  assert.equal(unfinished(campaign.id).length, 2);
});
