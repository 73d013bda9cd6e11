// The list of problems in an error's metadata: small, whatever it holds, and read with distrust.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { EspalierError, type Problem } from '../../../shared/errors.ts';
import { decodeProblems, encodeProblems } from '../../../shared/rpc/problem-list.ts';
import { toStatus } from '../../../shared/rpc/status.ts';

const PROBLEM: Problem = { code: 'data_not_found', path: ['jobs', 3, 'data'], text: 'models/a.csv: not found' };

test('a list comes back as it was', () => {
  const list = { problems: [PROBLEM, { ...PROBLEM, path: [], code: 'campaign_format' as const }], count: 2 };
  assert.deepEqual(decodeProblems(encodeProblems(list)), list);
});

test('of what has no room the first ones are sent, with the count of all', () => {
  const noise = () => randomBytes(300).toString('base64');
  const problems = Array.from({ length: 100 }, (_, i) => ({ ...PROBLEM, path: [i], text: noise() }));
  const bytes = encodeProblems({ problems, count: 250 });
  assert.ok(bytes.length <= 2048, `${bytes.length}`);
  const decoded = decodeProblems(bytes)!;
  assert.equal(decoded.count, 250);
  assert.ok(decoded.problems.length >= 3 && decoded.problems.length < 10, `${decoded.problems.length}`);
  assert.deepEqual(decoded.problems, problems.slice(0, decoded.problems.length));
});

test('all metadata of the largest error is below 8 KiB', () => {
  const problems = Array.from({ length: 100 }, () => ({ ...PROBLEM, text: randomBytes(400).toString('base64') }));
  const { metadata, details } = toStatus(
    new EspalierError('campaign_format', 'campaign: x '.repeat(1000), { list: { problems, count: 100 } }),
  );
  const bytes = Object.entries(metadata!.toHttp2Headers()).reduce(
    (sum, [key, value]) => sum + key.length + `${value}`.length,
    0,
  );
  assert.ok(bytes + encodeURI(details!).length < 8192, `${bytes}, ${encodeURI(details!).length}`);
});

test('what is no list is none', () => {
  const packed = (value: unknown) => gzipSync(JSON.stringify(value));
  for (const bytes of [
    Buffer.from('no gzip'),
    packed(7),
    packed({ count: 1 }),
    packed({ count: 1, problems: [] }),
    packed({ count: 0, problems: [PROBLEM] }),
    packed({ count: 1, problems: [null] }),
    packed({ count: 1, problems: [{ ...PROBLEM, code: 'toString' }] }),
    packed({ count: 1, problems: [{ ...PROBLEM, path: [{}] }] }),
    packed({ count: 1, problems: [{ ...PROBLEM, text: 3 }] }),
    gzipSync(Buffer.alloc(50e6)),
  ])
    assert.equal(decodeProblems(bytes), null);
});
