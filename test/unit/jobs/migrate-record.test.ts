// Records of this schema, of the one before and of a later one, and bytes that are none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RECORD_SCHEMA } from '../../../coordinator/jobs/job-record.ts';
import { decodeCampaign, decodeJob, encodeRecord, MAX_RECORD_BYTES } from '../../../coordinator/jobs/migrate-record.ts';
import { jobRecord, NOW } from '../../support/job-records.ts';

const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

test('a record comes back as it was written', () => {
  const record = jobRecord({ stages: { plan: { kind: 'json', value: [1, 2] } } });
  assert.deepEqual(decodeJob('job.x', encodeRecord(record)), { kind: 'known', record });
});

test('of schemas 1 and 2 the method of the paper is called so', () => {
  for (const schema of [1, 2])
    for (const [method, now] of [
      ['tune', 'paper'],
      ['search', 'search'],
    ]) {
      const { spec, ...old } = jobRecord({});
      const read = decodeJob('job.x', bytesOf({ ...old, schema, spec: { ...spec, method } }));
      assert.equal(read.kind === 'known' && read.record.spec.method, now);
      assert.equal(read.kind === 'known' && read.record.schema, RECORD_SCHEMA);
    }
});

test('schema 1 is read as this one', () => {
  const { position, requeues, stageAttempt, ...old } = jobRecord({ attempt: 3, deaths: 1 });
  assert.deepEqual([position, requeues, stageAttempt], [0, 0, 0]);
  assert.deepEqual(decodeJob('job.x', bytesOf({ ...old, schema: 1 })), {
    kind: 'known',
    record: jobRecord({ attempt: 3, deaths: 1 }),
  });
  const files = [{ name: 'config.json', digest: 'ab'.repeat(32), sizeBytes: 7 }];
  const model = { kind: 'blobs', files } as const;
  const read = decodeJob('job.x', bytesOf({ ...old, spec: { ...old.spec, model }, schema: 1 }));
  assert.deepEqual(read.kind === 'known' && read.record.spec.model, { ...model, label: 'model' });
  const campaign = { schema: 1, id: 'c', name: 'n', createdAt: NOW, jobs: ['j'] };
  assert.deepEqual(decodeCampaign('campaign.c', bytesOf(campaign)), {
    ...campaign,
    schema: RECORD_SCHEMA,
    content: null,
  });
});

test('of a later schema only what all share is read', () => {
  const later = { schema: 99, id: 'j', campaign: 'c', name: 'n', createdAt: NOW, state: 'sleeping' };
  const read = decodeJob('job.j', bytesOf(later));
  assert.equal(read.kind, 'newer');
  assert.equal(read.kind === 'newer' && read.shared.name, 'n');
  assert.equal(decodeCampaign('campaign.c', bytesOf({ schema: 99, id: 'c', jobs: 'many' })).schema, 99);
  assert.deepEqual(decodeCampaign('campaign.c', bytesOf({ schema: 99, id: 'c', jobs: 'many' })).jobs, []);
});

test('what is no record is refused with its key', () => {
  const wrong = [
    bytesOf(7),
    bytesOf({}),
    bytesOf({ schema: 0 }),
    bytesOf({ schema: '2' }),
    new Uint8Array([0xff, 0x7b]),
  ];
  for (const bytes of wrong)
    assert.throws(() => decodeJob('job.x', bytes), { code: 'state_schema', message: /^job\.x: / });
});

test('a record that is too large to store is refused before it is sent', () => {
  const stages = { plan: { kind: 'json', value: 'x'.repeat(MAX_RECORD_BYTES) } } as const;
  assert.throws(() => encodeRecord(jobRecord({ stages })), {
    code: 'limit_exceeded',
    message: /expected at most 1000000/,
  });
});
