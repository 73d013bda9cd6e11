// The index of all jobs: what counts, prefixes, pages.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JobIndex } from '../../../coordinator/jobs/job-index.ts';
import { jobPage } from '../../../coordinator/jobs/job-page.ts';
import type { ListQuery } from '../../../coordinator/jobs/job-store.ts';
import { encodeRecord } from '../../../coordinator/jobs/migrate-record.ts';
import { SILENT_LOG } from '../../../shared/log.ts';
import { jobRecord, NOW } from '../../support/job-records.ts';

const CAMPAIGN = '00000000000000cc';
const id = (number: number) => (number * 0x1111).toString(16).padStart(16, '0');

function indexOf(count: number, listed = count): JobIndex {
  const index = new JobIndex(SILENT_LOG);
  for (let i = 0; i < count; i += 1)
    index.applyRecord(jobRecord({ id: id(i), name: `j${i}`, position: i, createdAt: NOW }), i + 1);
  const jobs = Array.from({ length: listed }, (_, i) => id(i));
  const campaign = { schema: 2, id: CAMPAIGN, name: 'c', createdAt: NOW, jobs, content: null };
  index.applyEntry({ key: `campaign.${CAMPAIGN}`, value: encodeRecord(campaign), revision: 1_000 });
  return index;
}

const query = (changes: Partial<ListQuery> = {}): ListQuery => ({
  ...{ campaign: null, states: [], pageSize: 100, pageToken: '' },
  ...changes,
});

test('a job that no campaign lists neither counts nor shows', () => {
  const index = indexOf(3, 2);
  assert.deepEqual(
    [...index.unfinished()].map((job) => job.id),
    [id(0), id(1)],
  );
  assert.deepEqual(
    jobPage(index, query()).jobs.map((job) => job.id),
    [id(0), id(1)],
  );
});

test('an older version of a record changes nothing, a newer one does, an end takes it from the unfinished', () => {
  const index = indexOf(1);
  const told: (string | undefined)[] = [];
  index.onChange((_id, job) => told.push(job?.state));
  index.applyRecord(jobRecord({ id: id(0), state: 'running' }), 20);
  index.applyRecord(jobRecord({ id: id(0), state: 'queued' }), 19);
  assert.equal(index.job(id(0))?.state, 'running');
  index.applyRecord(jobRecord({ id: id(0), state: 'done' }), 21);
  assert.deepEqual([...index.unfinished()], []);
  index.applyEntry({ key: `job.${id(0)}`, value: null, revision: 22 });
  assert.equal(index.job(id(0)), null);
  assert.deepEqual(told, ['running', 'done', undefined]);
});

test('records of a later schema are listed and left alone; what is no record is not there', () => {
  const index = indexOf(2);
  const later = new TextEncoder().encode(
    JSON.stringify({ schema: 9, campaign: CAMPAIGN, name: 'later', createdAt: NOW }),
  );
  index.applyEntry({ key: `job.${id(0)}`, value: later, revision: 50 });
  index.applyEntry({ key: `job.${id(7)}`, value: new Uint8Array([1, 2]), revision: 51 });
  assert.deepEqual(
    [...index.unfinished()].map((job) => job.id),
    [id(1)],
  );
  assert.deepEqual(
    jobPage(index, query()).jobs.map((job) => [job.name, job.isNewer]),
    [
      ['later', true],
      ['j1', false],
    ],
  );
});

test('a prefix names one job, or the error names those that it could be', () => {
  const index = new JobIndex(SILENT_LOG);
  for (const [i, found] of ['abcd000000000001', 'abcd000000000002', 'ef00000000000000'].entries())
    index.applyRecord(jobRecord({ id: found }), i + 1);
  assert.equal(index.find('ef00'), 'ef00000000000000');
  assert.equal(index.find('abcd000000000002'), 'abcd000000000002');
  assert.throws(() => index.find('abcd'), {
    code: 'job_not_found',
    message: 'abcd: begins the ids of 2 jobs: abcd000000000001, abcd000000000002',
  });
  for (const none of ['ef0', 'EF00', '', '../x', 'ffff'])
    assert.throws(() => index.find(none), { code: 'job_not_found' }, none);
});

test('pages hold every job once, also when jobs come and go in between', () => {
  const index = indexOf(25);
  const first = jobPage(index, query({ pageSize: 10 }));
  assert.deepEqual(
    first.jobs.map(({ position }) => position),
    Array.from({ length: 10 }, (_, i) => i),
  );
  index.removeJob(id(9));
  index.removeJob(id(12));
  const second = jobPage(index, query({ pageSize: 10, pageToken: first.nextPageToken }));
  const third = jobPage(index, query({ pageSize: 10, pageToken: second.nextPageToken }));
  const rest = [...second.jobs, ...third.jobs].map(({ position }) => position);
  assert.deepEqual(rest, [10, 11, ...Array.from({ length: 12 }, (_, i) => i + 13)]);
  assert.equal(third.nextPageToken, '');
});

test('lists by campaign and state', () => {
  const index = indexOf(3);
  index.applyRecord(jobRecord({ id: id(1), state: 'failed', position: 1 }), 90);
  assert.deepEqual(
    jobPage(index, query({ states: ['failed'] })).jobs.map((job) => job.id),
    [id(1)],
  );
  assert.equal(jobPage(index, query({ campaign: CAMPAIGN })).jobs.length, 3);
  assert.throws(() => jobPage(index, query({ campaign: 'ffff' })), { code: 'job_not_found' });
  for (const pageToken of ['x', Buffer.from('[1]').toString('base64url'), Buffer.from('{}').toString('base64url')])
    assert.throws(() => jobPage(index, query({ pageToken })), { code: 'usage' });
});
