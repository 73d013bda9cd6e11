// A worker that runs out of memory in the middle: the job is planned again with half the tokens a batch, says so, uses
// nothing of the first plan's stages, and gives what a job gives that ran with that plan from the start.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { runEvaluateJob } from '../../../coordinator/evaluate-job.ts';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import { runPruneJob } from '../../../coordinator/prune-job.ts';
import { EspalierError } from '../../../shared/errors.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { blobsOf } from '../../../worker/service/request-blobs.ts';
import { RequestRunner } from '../../../worker/tasks/read-request.ts';
import { benchSettings } from '../../bench/bench-settings.ts';
import { testContext } from '../../support/engine.ts';
import { exhaust } from '../../support/exhausted-engine.ts';
import { FAKE_PEAK_BYTES, type FakeWorker, startFakeWorker } from '../../support/fake-executor.ts';
import { toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';

let folder = '';
const at = (name: string) => path.join(folder, name);

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-replan-'));
  process.env.XDG_CACHE_HOME = at('cache');
  await writeToyModel(at('model'), { layers: 2, hidden: 16, heads: 2, neurons: 12 });
  await writeRows(at('train.jsonl'), toyRows('sentence', { count: 80 }));
});

after(() => rm(folder, { recursive: true, force: true }));

type Which = (request: RunRequest) => boolean;

/** A real gRPC server and the real tasks in this process; `isTooMuch` says which tasks find no memory.
 * @param isTooMuchNext and which find none when they have told a part of their result. */
async function worker(isTooMuch: Which, isTooMuchNext: Which = () => false): Promise<FakeWorker> {
  const runner = new RequestRunner(testContext());
  const started: FakeWorker = await startFakeWorker({
    run: async (request, _signal, onPart) => {
      const exhausted = () => new EspalierError('out_of_memory', `${request.taskId}: no memory on purpose`);
      if (isTooMuch(request)) throw exhausted();
      const paths = blobsOf(request).map(({ digest }) => [digest, started.blobs.path(digest)]);
      let isExhausted = false;
      const tensors = await runner.run(request, Object.fromEntries(paths), (part) => {
        onPart?.(part);
        isExhausted ||= isTooMuchNext(request);
      });
      // The runner would try again by itself.
      if (isExhausted) throw exhausted();
      return tensors;
    },
  });
  return started;
}

/** Fails once, at the first task of which this is part of the name. */
function once(name: string): (request: RunRequest) => boolean {
  let failed = false;
  return ({ taskId }) => {
    if (failed || !taskId.includes(name)) return false;
    failed = true;
    return true;
  };
}

async function prune(out: string, isTooMuch: Which, evaluation: string | null = null, isTooMuchNext?: Which) {
  const remote = await worker(isTooMuch, isTooMuchNext);
  const events: JobEvent[] = [];
  const settings = benchSettings({
    ...{ model: at('model'), data: at('train.jsonl'), out: at(out), samples: 64 },
    ...{ workers: '0', device: 'cpu' },
  });
  try {
    const job = runPruneJob(
      { ...settings, evaluation, workers: { ...settings.workers, addresses: [remote.address] }, fisherGroup: 4 },
      { signal: new AbortController().signal, onEvent: (event) => events.push(event) },
    );
    const [report] = await job;
    return { report, events, tasks: remote.executor.started };
  } finally {
    await remote.close();
  }
}

/** From the first task on of which this is part of the name, TensorFlow has no memory: for it and when it is tried again. */
function exhaustedAt(t: test.TestContext, name: string): (request: RunRequest) => boolean {
  const isFirst = once(name);
  return (request) => {
    if (isFirst(request)) exhaust(t, 2);
    return false;
  };
}

const noticesOf = (events: readonly JobEvent[]) =>
  events.flatMap((event) => (event.kind === 'notice' && event.text.startsWith('out of memory') ? [event.text] : []));

test('late in the job: everything is computed again with half the tokens, as if it had begun so', async () => {
  // When one sub-layer is tuned: in the next task, or in the middle of the one that goes on.
  const isNext = once('solve/');
  const late = await prune('late', (request) => request.taskId.includes('solve/1') && isNext(request), null, isNext);
  const early = await prune('early', once('fisher/0'));
  for (const { events } of [late, early])
    assert.deepEqual(noticesOf(events), ['out of memory with 2048 tokens a batch: planning again with 1024']);

  const times = (tasks: readonly string[], name: string) => tasks.filter((task) => task.split('+')[0] === name).length;
  assert.equal(times(late.tasks, 'fisher/5'), 2, "the first plan's gradients are not used for the second");
  assert.equal(times(late.tasks, 'solve/0.ffn'), 2, 'nor its scales');
  assert.ok(late.events.every((event) => event.kind !== 'stage-finished' || !event.reused));
  assert.equal(late.report.plan, early.report.plan);
  assert.equal(late.report.digest, early.report.digest);
  assert.deepEqual(late.report.tuning, early.report.tuning);
});

test("TensorFlow's own words, in gradients, tuning or evaluation, lead to the same plan and the same bits", async (t) => {
  const expected = (await prune('half', once('fisher/0'))).report;
  for (const [number, name] of ['fisher/3', 'solve/0', 'evaluate/'].entries())
    await t.test(name, async (t) => {
      const { report, events } = await prune(`exhausted-${number}`, exhaustedAt(t, name), at('train.jsonl'));
      assert.deepEqual(noticesOf(events), ['out of memory with 2048 tokens a batch: planning again with 1024']);
      assert.equal(report.tokensPerBatch, 1024);
      assert.equal(report.workerTimes![0].peakMemoryBytes, FAKE_PEAK_BYTES);
      assert.deepEqual([report.plan, report.digest], [expected.plan, expected.digest]);
    });
});

test('again and again: halved down to what one long sample needs, then the job fails with its code', async () => {
  const events: JobEvent[] = [];
  const remote = await worker(({ taskId }) => taskId.startsWith('evaluate/'));
  const settings = {
    ...{ model: at('model'), data: at('train.jsonl'), columns: {}, maxLength: null, stride: 128, metric: null },
    workers: { local: 0, addresses: [remote.address], device: 'cpu' as const, tls: null },
  };
  try {
    await assert.rejects(
      runEvaluateJob(settings, {
        signal: new AbortController().signal,
        onEvent: (event) => events.push(event),
      }),
      { code: 'out_of_memory', message: /no memory on purpose/ },
    );
  } finally {
    await remote.close();
  }
  assert.deepEqual(
    noticesOf(events).map((text) => /with (\d+) tokens .* with (\d+)$/.exec(text)?.slice(1).map(Number)),
    [
      [2048, 1024],
      [1024, 512],
      [512, 256],
      [256, 128],
    ],
  );
});
