// A claimed job with a real object store and real workers: the bits of the same job on one machine, from uploaded files
// and from a volume.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { USUAL_TIMING } from '../../../coordinator/job/timing-settings.ts';
import type { JobSpec } from '../../../coordinator/jobs/job-record.ts';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { BUDGETS, type METHOD, openClaimedJobs, reused, weightsOf } from '../../support/claimed-jobs.ts';
import { writeToyModel } from '../../support/toy-model.ts';

const { assertSame, at, prunedHere, start, upload, uploaded } = await openClaimedJobs();
const local = await prunedHere('local');

test('uploaded files: the files and reports of the same job on one machine, with one worker or two', async () => {
  for (const workers of [1, 2]) {
    const { results, record, events } = start({}, { workers });
    await assertSame(await results, 'local', local);
    assert.deepEqual(reused(events), []);
    assert.ok(Buffer.byteLength(JSON.stringify(Object.fromEntries(record))) < 16_000);
  }
  assert.deepEqual(
    (await readdir(at())).filter((name) => name.startsWith('scratch')),
    [],
  );
});

test('a volume: the same, and its weights are in the object store for workers to pull', async () => {
  const spec: Partial<JobSpec> = {
    model: { kind: 'volume', volume: 'shared', path: ['models', 'toy'] },
    data: { kind: 'volume', volume: 'shared', path: ['data', 'train.jsonl'] },
    evaluation: { kind: 'volume', volume: 'shared', path: ['data', 'dev.jsonl'] },
  };
  const { results, record } = start(spec);
  await assertSame(await results, 'local', local);
  const named = record.get('weights');
  const exported = local.map(({ digest }) => digest);
  assert.deepEqual(
    named,
    { kind: 'json', value: [weightsOf(uploaded.model).digest, ...exported] },
    'what no record names is collected',
  );
  assert.ok(existsSync(at('volume/models/toy/model.safetensors')), 'the user keeps what was linked');
});

test('labels drawn from the model: as on one machine', async () => {
  const reports = await prunedHere('drawn', { labels: 'model', evaluation: null, method: 'search' });
  const results = await start({ labels: 'model', evaluation: null, method: 'search' }).results;
  await assertSame(results, 'drawn', reports);
});

test('a gradual job, its refitted models written in a thread: as on one machine', async () => {
  const changes = { method: 'gradual', fisherGroup: null, evaluation: null } as const;
  const reports = await prunedHere('gradual', changes);
  const results = await start(changes).results;
  await assertSame(results, 'gradual', reports);
  for (const { report } of results) assert.ok(((report as PruneReport).steps?.length ?? 0) > 0);
});

test('an ONNX file beside each model, and its quality: as on one machine', async () => {
  const reports = await prunedHere('onnx', { onnx: 'F16', method: 'search' });
  const results = await start({ onnx: 'F16', method: 'search' }).results;
  await assertSame(results, 'onnx', reports);
  for (const [i, { files, report }] of results.entries()) {
    const { onnx } = report as PruneReport;
    assert.deepEqual(
      onnx?.files.map(({ name, sha256 }) => [name, sha256]),
      files.filter(({ name }) => name.startsWith('model.onnx')).map(({ name, digest }) => [name, digest]),
    );
    assert.ok(onnx?.scores !== null && onnx?.scores !== undefined);
    assert.deepEqual(onnx, reports[i].onnx);
  }
});

describe('the smallest model within a loss', () => {
  // Random models lose and win a few hundredths at any size: what decides here must be the same anywhere.
  const drop: Partial<typeof METHOD> & Pick<JobSpec, 'budgets'> = {
    budgets: [BUDGETS[1], { text: 'max-drop-0.1', value: 0.1, kind: 'max-drop' }],
    ...{ method: 'rearrange', maxDropConfidence: 0.5, samples: 160 },
  };
  let here: PruneReport[];
  before(async () => {
    here = await prunedHere('drop', drop);
  });

  test('as on one machine', async () => {
    assert.ok((here[1].maxDrop?.candidates.length ?? 0) > 3);
    const { results, record } = start(drop, { workers: 2 });
    await assertSame(await results, 'drop', here, drop.budgets);
    assert.ok(Buffer.byteLength(JSON.stringify(Object.fromEntries(record))) < 32_000);
  });

  test('cut off between candidates: the next coordinator judges none again and finds the same', async () => {
    const controller = new AbortController();
    const lost = new EspalierError('lease_lost', 'the lease has lapsed');
    let judged = 0;
    const onCommit = (name: string) => {
      if (/\/budget-0\.\d+\/held-out$/.test(name) && ++judged === 2) controller.abort(lost);
    };
    const first = start(drop, { signal: controller.signal, onCommit });
    await assert.rejects(first.results, (error) => error instanceof EspalierError && error.code === 'lease_lost');
    const second = start(drop, { record: first.record });
    await assertSame(await second.results, 'drop', here, drop.budgets);
    const again = second.events.flatMap((event) =>
      event.kind === 'stage-finished' && event.stage === 'search' && !event.reused ? [event.budget] : [],
    );
    const tried = here[1].maxDrop?.candidates.map(({ macs }) => `${macs}`) ?? [];
    assert.deepEqual(again, tried.slice(2));
  });

  test('where none is within: the job ends with that, and the best that was found', async () => {
    const budgets = [{ text: 'max-drop-0.0001', value: 0.0001, kind: 'max-drop' as const }];
    const { results } = start({ ...drop, budgets, maxDropConfidence: 0.99, evaluation: null });
    await assert.rejects(results, (error) => error instanceof EspalierError && error.code === 'drop_exceeded');
  });
});

test('a budget of time: the table that one job measured is there for the next of the same sizes', async () => {
  // Wide enough for the times of both kinds of sub-layers to stand out of a clock's noise.
  await writeToyModel(at('wide'), { layers: 2, hidden: 128, heads: 4, neurons: 512 });
  const spec: Partial<JobSpec> = {
    model: await upload(at('wide'), 'model'),
    budgets: [{ text: 'latency-0.8', value: 0.8, kind: 'latency' }],
    ...{ method: 'search', evaluation: null, timing: { ...USUAL_TIMING, runtime: 'engine', batchSizes: [64] } },
  };
  for (const source of ['measured', 'cached']) {
    const { results, tasks } = start({ ...spec, seed: source.length });
    const [{ report }] = await results;
    assert.equal((report as PruneReport).latencyBudget?.table.source, source);
    assert.equal(tasks.filter((task) => /^profile\/\d+$/.test(task)).length > 0, source === 'measured', String(tasks));
  }
});

test('numbers that are not finite end the job with that, whatever would go on', async () => {
  const reason = new EspalierError('not_finite', 'fisher/0: losses 3: got NaN, expected a finite number');
  const { results } = start({}, { refuse: (task) => (task === 'fisher/0' ? reason : null) });
  await assert.rejects(results, (error) => error === reason);
});
