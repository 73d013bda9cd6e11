// Tables on disk: found for exactly what they were measured for, never for anything else.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { latencyCache, readTableFile, tableText } from '../../../coordinator/job/latency-cache.ts';
import type { LatencyTable } from '../../../pruning/latency-table.ts';

const TABLE: LatencyTable = {
  schema: 1,
  ...{ runtime: 'onnxruntime 1.30.0', device: 'toy, 2 cores', threads: 2, batchSize: 8, tokens: 16 },
  model: { type: 'bert', layers: 2, hiddenSize: 16, heads: 2, headSize: 8, intermediateSize: 8, activation: 'gelu' },
  attentionSeconds: [0, 1, 2],
  ffnSeconds: [
    { neurons: 0, seconds: 0 },
    { neurons: 8, seconds: 3 },
  ],
  restSeconds: 1,
};

test('a table is found again by machine, runtime, threads, shape and sizes of the model alone', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-tables-'));
  t.after(() => rm(folder, { recursive: true }));
  const cache = latencyCache(path.join(folder, 'new'));
  assert.equal(await cache.read(TABLE), null);
  await cache.write(TABLE);
  assert.deepEqual(await cache.read(TABLE), TABLE);
  assert.deepEqual(
    await cache.read({ ...TABLE, restSeconds: 7 } as LatencyTable),
    TABLE,
    'times are no part of the key',
  );
  for (const other of [
    { runtime: 'onnxruntime 1.31.0' },
    { runtime: 'engine 2.21.0' },
    { device: 'toy, 4 cores' },
    { threads: 1 },
    { batchSize: 1 },
    { tokens: 17 },
    { model: { ...TABLE.model, layers: 3 } },
    { model: { ...TABLE.model, activation: 'relu' } },
  ])
    assert.equal(await cache.read({ ...TABLE, ...other }), null, JSON.stringify(other));
  const [file] = await readdir(path.join(folder, 'new'));
  await writeFile(path.join(folder, 'new', file), tableText(TABLE).slice(0, 50));
  assert.equal(await cache.read(TABLE), null, 'a damaged one is measured again');
});

test('a file that the user names is a table, or is refused', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-tables-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = path.join(folder, 'table.json');
  await writeFile(file, tableText(TABLE));
  assert.deepEqual(await readTableFile(file), TABLE);
  await writeFile(file, 'heads');
  await assert.rejects(readTableFile(file), {
    code: 'latency_table',
    message: /table\.json: got no JSON, expected a table/,
  });
  await writeFile(file, JSON.stringify({ ...TABLE, threads: 0 }));
  await assert.rejects(readTableFile(file), {
    code: 'latency_table',
    message: /threads: got 0, expected a whole number/,
  });
  await assert.rejects(readTableFile(path.join(folder, 'none')), {
    code: 'latency_table',
    message: /none: got ENOENT/,
  });
});
