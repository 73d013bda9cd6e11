// Threads of a coordinator: the loop goes on while they compute, errors come back as they were, an abort or a call that
// takes too much memory costs that call alone.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import { rearrangeFromFile } from '../../../coordinator/job/fisher-file.ts';
import { openPruneInputs, type PruneInputs } from '../../../coordinator/job/prune-inputs.ts';
import { readInputs } from '../../../coordinator/job/thread-inputs.ts';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import type { PruneRequest } from '../../../coordinator/prune-settings.ts';
import { ComputeThreads } from '../../../coordinator/threads/compute-threads.ts';
import { type FisherInformation, packedLength } from '../../../pruning/fisher.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { rearrangeMasks } from '../../../pruning/rearrange.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { benchSettings } from '../../bench/bench-settings.ts';
import { writeFisherFile } from '../../support/fisher-files.ts';
import { randomPatches } from '../../support/random-patches.ts';
import { type ToyKind, toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';
import { until } from '../../support/until.ts';

let folder = '';
const at = (name: string) => path.join(folder, name);
const threads = new ComputeThreads({ count: 2, heapMegabytes: 200 });

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-threads-'));
});

after(async () => {
  await threads.close();
  await rm(folder, { recursive: true, force: true });
});

function problem(layers: number, neurons: number, rows: number) {
  const random = randomStream(1, 'gradients');
  const values = Float32Array.from({ length: rows * layers * (2 + neurons) }, () => random.uniform() - 0.5);
  const masks: Masks = denseMasks(layers, 2, neurons);
  for (let i = 0; i < masks.neuronMask.length; i += 2) masks.neuronMask[i] = 0;
  return { fisher: { form: 'rows' as const, rows, values }, masks };
}

let files = 0;

/** The same with the Fisher information in a file, as a thread takes it. */
async function filed(given: { fisher: FisherInformation; masks: Masks }) {
  files += 1;
  return { fisher: await writeFisherFile(at(`fisher-${files}`), given.fisher), masks: given.masks };
}

describe('threads', () => {
  it('write a refitted model as this one writes it', async () => {
    const model = path.join(projectRoot(), 'test', 'fixtures', 'hf-bert-classification');
    const source = await openCheckpoint(model);
    const masks = denseMasks(2, 3, 40);
    masks.neuronMask.fill(0, 0, 60);
    const patches = randomPatches(source, masks);
    const here = await writePrunedCheckpoint(source, masks, 'F32', at('here'), 'espalier', patches);
    await source.close();
    const input = { model, masks, dtype: 'F32', directory: at('there'), layout: 'espalier', patches } as const;
    assert.deepEqual(await threads.run('write', input), { bytes: here.bytes, sha256: here.sha256 });
    for (const file of ['model.safetensors', 'masks.json'])
      assert.ok((await readFile(at(`there/${file}`))).equals(await readFile(at(`here/${file}`))), file);
  });

  it('give what this one gives', async () => {
    const small = problem(2, 40, 6);
    assert.deepEqual(await threads.run('rearrange', await filed(small)), rearrangeMasks(small.fisher, small.masks));
  });

  it('leave the loop free', async () => {
    const large = await filed(problem(6, 1500, 64));
    let turns = 0;
    const timer = setInterval(() => turns++, 2);
    const running = threads.run('rearrange', large);
    await until('turns of the loop while it computes', () => turns > 20 && threads.busy === 1);
    clearInterval(timer);
    await running;
  });

  it('take calls in order, no more at once than there are', async () => {
    const one = new ComputeThreads({ count: 1, heapMegabytes: 200 });
    const given = await filed(problem(1, 200, 16));
    for (const [pool, most] of [
      [one, 1],
      [threads, 2],
    ] as const) {
      const done: number[] = [];
      const calls = [0, 1, 2, 3, 4].map(async (i) => {
        await pool.run('rearrange', given);
        done.push(i);
      });
      await until('calls run', () => pool.busy === most);
      await Promise.all(calls);
      assert.equal(done.length, 5);
      if (most === 1) assert.deepEqual(done, [0, 1, 2, 3, 4]);
      assert.equal(pool.busy, 0);
    }
    await one.close();
  });

  it('pass errors on as they were, and go on', async () => {
    const { fisher, masks } = await filed(problem(2, 40, 6));
    const wrong = denseMasks(3, 2, 40);
    const expected: unknown = await rearrangeFromFile(fisher, wrong).catch((caught: unknown) => caught);
    assert.ok(expected instanceof EspalierError);
    assert.equal(expected.code, 'shape_mismatch');
    await assert.rejects(threads.run('rearrange', { fisher, masks: wrong }), (error) => {
      assert.ok(error instanceof EspalierError);
      assert.deepEqual([error.code, error.message, error.action], [expected.code, expected.message, expected.action]);
      return true;
    });
    await threads.run('rearrange', { fisher, masks });
  });

  it('stop when they are asked to, computing or waiting', async () => {
    const reason = new EspalierError('cancelled', 'the user asked for it');
    const own = new ComputeThreads({ count: 1, heapMegabytes: 200 });
    const tiny = await filed(problem(1, 10, 2));
    const large = await filed(problem(12, 3072, 256));
    const [first, second] = [new AbortController(), new AbortController()];
    // Minutes of work.
    const long = own.run('rearrange', large, { signal: first.signal });
    const waiting = own.run('rearrange', tiny, { signal: second.signal });
    const next = own.run('rearrange', tiny);
    second.abort(reason);
    await assert.rejects(waiting, reason);
    first.abort(reason);
    await assert.rejects(long, reason);
    await next;
    await assert.rejects(own.run('rearrange', tiny, { signal: first.signal }), reason);
    assert.equal(own.busy, 0);
    await own.close();
  });

  it('that need more memory than they have fail alone', async () => {
    await writeToyModel(at('model'));
    const row = JSON.stringify({ sentence: 'ba be bi bo', label: 0 });
    await writeFile(at('large.jsonl'), `${Array.from({ length: 300_000 }, () => row).join('\n')}\n`);
    const small = new ComputeThreads({ count: 1, heapMegabytes: 24 });
    await assert.rejects(small.run('prepare', request('model', 'large.jsonl', null)), {
      code: 'limit_exceeded',
      message: 'prepare: got input that takes more than 24 MB of memory',
    });
    const { fisher, masks } = problem(1, 10, 2);
    assert.deepEqual(await small.run('rearrange', await filed({ fisher, masks })), rearrangeMasks(fisher, masks));
    await small.close();
  });

  it('take Fisher information in either form', async () => {
    const gram = (size: number) => Float64Array.from({ length: packedLength(size) }, (_, i) => (i % 7) + 1);
    const fisher = { form: 'gram' as const, headGrams: [gram(2)], neuronGrams: [gram(12)] };
    const { masks } = problem(1, 12, 1);
    assert.deepEqual(await threads.run('rearrange', await filed({ fisher, masks })), rearrangeMasks(fisher, masks));
  });
});

function request(model: string, data: string, evaluation: string | null): PruneRequest {
  const settings = benchSettings({
    ...{ model: at(model), data: at(data), out: '', samples: 20, workers: '1', device: 'cpu' },
  });
  return { ...settings, evaluation: evaluation === null ? null : at(evaluation) };
}

describe('inputs that a thread has read', () => {
  const cases: readonly [ToyKind, Parameters<typeof writeToyModel>[1]][] = [
    ['pair', {}],
    ['entities', { head: 'TokenClassification', labels: ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'] }],
    ['question', { head: 'QuestionAnswering' }],
  ];
  for (const [kind, model] of cases)
    it(`are those that this one reads: ${kind}`, async () => {
      await writeToyModel(at(`model-${kind}`), { positions: 24, ...model });
      await writeRows(at(`${kind}.jsonl`), toyRows(kind, { count: 30 }));
      await writeRows(at(`${kind}-dev.jsonl`), toyRows(kind, { count: 12, seed: 1 }));
      const asked = request(`model-${kind}`, `${kind}.jsonl`, `${kind}-dev.jsonl`);
      const settings = kind === 'question' ? { ...asked, stride: 4 } : asked;
      const releases = new Releases();
      const events: [JobEvent[], JobEvent[]] = [[], []];
      const here = await openPruneInputs(settings, releases, (event) => events[0].push(event));
      const resources = { threads, readers: threads };
      const { signal } = new AbortController();
      const there = await readInputs(settings, resources, releases, (event) => events[1].push(event), signal);
      assert.deepEqual(events[1], events[0]);
      const plain = (inputs: PruneInputs) => ({
        digest: inputs.model.digest,
        config: inputs.model.checkpoint.config,
        data: inputs.data,
        samples: inputs.drawn.samples,
        truncated: [inputs.drawn.truncated, inputs.evaluation?.encoded.truncated],
        evaluation: inputs.evaluation?.encoded.samples,
        digests: [inputs.evaluation?.dataset.digest, inputs.evaluation?.dataset.rows],
        ...{ costs: inputs.costs, groupSize: inputs.groupSize, metric: inputs.evaluation?.metric },
      });
      assert.deepEqual(plain(there), plain(here));
      const random = randomStream(2, 'logits');
      const { outputs: width } = here.model.checkpoint.config;
      const outputs = here.evaluation!.encoded.samples.map(({ tokenIds }) =>
        Float32Array.from({ length: width * (kind === 'pair' ? 1 : tokenIds.length) }, () => random.uniform()),
      );
      const expected = await here.evaluation!.encoded.score(outputs, null);
      for (let i = 0; i < 2; i++) assert.deepEqual(await there.evaluation!.encoded.score(outputs, null), expected);
      await releases.run();
    });

  it('have their errors', async () => {
    await writeFile(at('bad.jsonl'), '{"sentence": 3, "label": 0}\n');
    await assert.rejects(threads.run('prepare', request('model-pair', 'bad.jsonl', null)), (error: EspalierError) => {
      assert.equal(error.code, 'data_format');
      assert.ok(error.message.startsWith(`${at('bad.jsonl')}:1: sentence: got `), error.message);
      return true;
    });
  });
});
