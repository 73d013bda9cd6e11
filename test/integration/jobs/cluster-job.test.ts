// A claimed job with a real object store and real workers: the bits of the same job on one machine, from uploaded files
// and from a volume; cut off in the middle, whoever goes on takes what is stored and gives the same bits.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ClusterJob, runClusterJob } from '../../../coordinator/cluster-job.ts';
import { USUAL_TIMING } from '../../../coordinator/job/timing-settings.ts';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import { type JobResources, openJobResources } from '../../../coordinator/job-resources.ts';
import { dataFileName, isFileName } from '../../../coordinator/jobs/file-names.ts';
import type {
  FileRef,
  FileSource,
  JobResult,
  JobSettings,
  JobSpec,
  StageEntry,
} from '../../../coordinator/jobs/job-record.ts';
import { runPruneJob } from '../../../coordinator/prune-job.ts';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import type { PruneSettings } from '../../../coordinator/prune-settings.ts';
import { CARD_FILE, modelCard } from '../../../coordinator/report/model-card.ts';
import { blobOfFile } from '../../../shared/blobs/blob-source.ts';
import type { Bus } from '../../../shared/bus/bus.ts';
import { connectBus } from '../../../shared/bus/nats-bus.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { forkedFleet } from '../../support/forked-fleet.ts';
import { NatsServer } from '../../support/nats-server.ts';
import { toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';

const BUDGETS = [
  { text: '0.40', value: 0.4 },
  { text: '0.7', value: 0.7 },
];
const METHOD: JobSettings = {
  columns: {},
  budgets: BUDGETS,
  seed: 3,
  samples: 96,
  replacement: false,
  fisherGroup: 8,
  labels: 'data',
  method: 'paper',
  damping: 'ridge',
  search: 'paper',
  neuronMultiple: 1,
  macsLength: null,
  maxLength: null,
  stride: 128,
  metric: null,
  timing: USUAL_TIMING,
  dtype: null,
};

let folder = '';
let server: NatsServer;
let bus: Bus;
let resources: JobResources;
let uploaded: Pick<JobSpec, 'model' | 'data' | 'evaluation'>;
let local: PruneReport[];
const at = (...names: string[]) => path.join(folder, ...names);

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-cluster-job-'));
  process.env.XDG_CACHE_HOME = at('cache');
  await writeToyModel(at('volume/models/toy'), { layers: 2, hidden: 32, heads: 4, neurons: 64 });
  await mkdir(at('volume/data'));
  await writeRows(at('volume/data/train.jsonl'), toyRows('pair', { count: 200 }));
  await writeRows(at('volume/data/dev.jsonl'), toyRows('pair', { count: 60, seed: 1 }));
  server = await NatsServer.start();
  bus = await connectBus(server.settings(), { create: true });
  const volumes = new Map([['shared', at('volume')]]);
  resources = await openJobResources({ objects: bus.objects, cacheDir: at('objects'), cacheLimitBytes: 1e9, volumes });
  uploaded = {
    model: await upload(at('volume/models/toy'), 'model'),
    data: await upload(at('volume/data/train.jsonl'), 'data'),
    evaluation: await upload(at('volume/data/dev.jsonl'), 'data'),
  };
  local = await prunedHere('local');
});

after(async () => {
  await bus?.close();
  await server?.remove();
  await rm(folder, { recursive: true, force: true });
});

async function upload(input: string, kind: 'model' | 'data'): Promise<FileSource> {
  const files: FileRef[] = [];
  const names = kind === 'data' ? [path.basename(input)] : (await readdir(input)).sort();
  for (const name of names) {
    const stored = kind === 'data' ? dataFileName(name) : name;
    assert.ok(isFileName(kind, stored), name);
    const blob = await blobOfFile(kind === 'data' ? input : path.join(input, name));
    await bus.objects.put(blob.digest, blob.sizeBytes, blob.open());
    files.push({ name: stored, digest: blob.digest, sizeBytes: blob.sizeBytes });
  }
  return { kind: 'blobs', label: path.basename(input), files };
}

/** The same job on one machine. */
function prunedHere(out: string, settings: Partial<PruneSettings> = {}): Promise<PruneReport[]> {
  const job: PruneSettings = {
    ...METHOD,
    ...{ model: at('volume/models/toy'), data: at('volume/data/train.jsonl'), evaluation: at('volume/data/dev.jsonl') },
    ...{ out: at(out), force: false, resume: false, workers: { local: 1, addresses: [], device: 'cpu' } },
    ...settings,
  };
  return runPruneJob(job, { signal: new AbortController().signal, onEvent: () => {} });
}

interface Run {
  readonly record: Map<string, StageEntry>;
  readonly events: JobEvent[];
  readonly tasks: string[];
  readonly classes: (object | null)[];
  readonly results: Promise<readonly JobResult[]>;
}

let runs = 0;

/** Runs a job as its coordinator does. `onCommit` is called after each stage that is stored. */
function start(
  spec: Partial<JobSpec>,
  options: {
    record?: Map<string, StageEntry>;
    workers?: number;
    onCommit?: (name: string) => void;
    refuse?: (task: string) => Error | null;
  } & Partial<Pick<ClusterJob, 'signal' | 'resources'>> = {},
): Run {
  const record = options.record ?? new Map<string, StageEntry>();
  const events: JobEvent[] = [];
  const fleet = forkedFleet(bus.objects, at(`worker-blobs-${runs}`), options.workers ?? 1, options.refuse);
  const results = runClusterJob({
    ...{ id: '0123456789abcdef', campaign: 'fedcba9876543210', priority: 0, fleet },
    ...{ signal: new AbortController().signal, resources, ...options },
    spec: { ...METHOD, ...uploaded, ...spec },
    stages: Object.fromEntries(record),
    async commitStage(name, entry) {
      options.signal?.throwIfAborted();
      // As it goes through a record.
      record.set(name, JSON.parse(JSON.stringify(entry)) as StageEntry);
      options.onCommit?.(name);
    },
    scratch: at(`scratch-${runs++}`),
    onEvent: (event) => events.push(event),
  });
  results.catch(() => {});
  return { record, events, tasks: fleet.tasks, classes: fleet.joined as never, results };
}

/** What of a report may not depend on where and when the job ran. */
function content(report: unknown): object {
  const { seconds, latency, speed, workers, workerTimes, ...rest } = report as PruneReport;
  assert.ok(seconds.total > 0 && latency !== null && speed.length > 1 && workers > 0);
  assert.ok(workerTimes!.every(({ tasks, seconds: byKind }) => tasks > 0 && Object.keys(byKind).length > 0));
  // A volume is part of what its user calls an input.
  const command = rest.command!.map((word) => path.basename(word));
  const data = { ...rest.data, name: path.basename(rest.data.name!) };
  const evaluation = rest.evaluation && { ...rest.evaluation, name: path.basename(rest.evaluation.name!) };
  return { ...rest, command, data, evaluation };
}

async function stored({ digest, sizeBytes }: FileRef): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of bus.objects.open(digest)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  assert.equal(bytes.length, sizeBytes);
  assert.equal(createHash('sha256').update(bytes).digest('hex'), digest);
  return bytes;
}

const reused = (events: readonly JobEvent[]) =>
  events.flatMap((event) => (event.kind === 'stage-finished' && event.reused ? [event.stage] : []));

/** Every file of the results is that of the same job on one machine, the report but for where and when it ran. */
async function assertSame(
  results: readonly JobResult[],
  out: string,
  reports: readonly PruneReport[],
  budgets: JobSpec['budgets'] = BUDGETS,
): Promise<void> {
  assert.deepEqual(
    results.map(({ budget }) => budget),
    budgets.map(({ text }) => text),
  );
  for (const [i, { budget, files, report }] of results.entries()) {
    assert.deepEqual(content(report), content(reports[i]));
    const names = files.map(({ name }) => name);
    assert.deepEqual(names, (await readdir(at(out, budget))).sort());
    for (const file of files) {
      const bytes = await stored(file);
      if (file.name === 'report.json') assert.deepEqual(JSON.parse(bytes.toString()), report);
      else if (file.name === CARD_FILE)
        assert.equal(
          bytes.toString(),
          modelCard(
            report as PruneReport,
            budget,
            names.filter((name) => name !== CARD_FILE),
          ),
        );
      else assert.deepEqual(bytes, await readFile(at(out, budget, file.name)), file.name);
    }
  }
}

test('uploaded files: the files and reports of the same job on one machine, with one worker or two', async () => {
  for (const workers of [1, 2]) {
    const { results, record, events } = start({}, { workers });
    await assertSame(await results, 'local', local);
    assert.deepEqual(reused(events), []);
    assert.ok(Buffer.byteLength(JSON.stringify(Object.fromEntries(record))) < 16_000);
  }
  assert.deepEqual(
    (await readdir(folder)).filter((name) => name.startsWith('scratch')),
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
  // Wide enough for times of its sub-layers to stand out of a clock's noise.
  await writeToyModel(at('wide'), { layers: 2, hidden: 64, heads: 4, neurons: 1024 });
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

test('out of memory: planned again with half the tokens, and whoever goes on keeps to it', async () => {
  let failures = 0;
  const refuse = (task: string) =>
    task.startsWith('solve/1') && failures++ === 0 ? new EspalierError('out_of_memory', `${task}: on purpose`) : null;
  const first = start({ method: 'paper', budgets: [BUDGETS[0]], evaluation: null }, { refuse });
  const results = await first.results;
  assert.deepEqual(
    first.events.flatMap((event) => (event.kind === 'notice' ? [event.text] : [])),
    ['out of memory with 2048 tokens a batch: planning again with 1024'],
  );
  assert.equal((first.record.get('plan') as { value: { tokensPerBatch: number } }).value.tokensPerBatch, 1024);
  const second = start({ method: 'paper', budgets: [BUDGETS[0]], evaluation: null }, { record: first.record });
  const again = await second.results;
  assert.deepEqual(content(again[0].report), content(results[0].report));
  assert.deepEqual(reused(second.events), ['fisher', 'search', 'rearrange', 'tune']);
  assert.ok(second.tasks.every((task) => task.startsWith('latency/')));
});

test('numbers that are not finite end the job with that, whatever would go on', async () => {
  const reason = new EspalierError('not_finite', 'fisher/0: losses 3: got NaN, expected a finite number');
  const { results } = start({}, { refuse: (task) => (task === 'fisher/0' ? reason : null) });
  await assert.rejects(results, (error) => error === reason);
});

describe('cut off in the middle', () => {
  for (const [where, stage, solves, expected] of [
    ['after fisher', /\/fisher$/, 6, ['evaluate', 'fisher']],
    ['in tuning', /budget-0\.4\/tune$/, 5, ['evaluate', 'fisher', 'search', 'evaluate', 'rearrange', 'evaluate']],
    [
      'when the result of the first budget was measured',
      /budget-0\.4\/quality-result$/,
      0,
      [
        ...['evaluate', 'fisher'],
        ...BUDGETS.flatMap(() => ['search', 'evaluate', 'rearrange', 'evaluate', 'tune']),
        'evaluate',
      ],
    ],
  ] as const)
    test(`${where}: the next coordinator takes what is stored and gives the same bits`, async () => {
      const controller = new AbortController();
      const lost = new EspalierError('lease_lost', 'the lease has lapsed');
      const first = start(
        {},
        { signal: controller.signal, onCommit: (name) => stage.test(name) && controller.abort(lost) },
      );
      await assert.rejects(first.results, (error) => error instanceof EspalierError && error.code === 'lease_lost');
      const second = start({}, { record: first.record, workers: 2 });
      await assertSame(await second.results, 'local', local);
      assert.deepEqual(reused(second.events), expected);
      assert.ok(!second.tasks.includes('fisher/0'));
      assert.equal(second.tasks.filter((task) => task.startsWith('solve/')).length, solves);
    });

  test('with a stage whose blob is gone: it alone is computed again, and told of', async () => {
    const first = start({});
    await first.results;
    const name = [...first.record.keys()].find((key) => key.endsWith('/fisher'))!;
    const entry = first.record.get(name)!;
    assert.ok(entry.kind === 'tensors');
    await bus.objects.delete(entry.digest);
    const second = start({}, { record: first.record });
    await assertSame(await second.results, 'local', local);
    assert.deepEqual(
      second.events.flatMap((event) => (event.kind === 'notice' ? [event.text] : [])),
      [`stored ${name} is damaged and is computed again`],
    );
    assert.ok(second.tasks.includes('fisher/0') && !second.tasks.includes('solve/1.ffn'));
  });
});

describe('inputs', () => {
  test('that are not there, or damaged, are named by what the user calls them', async () => {
    await writeFile(at('broken.jsonl'), '{"sentence1": "ba", "sentence2": 3, "label": 1}\n');
    const data = await upload(at('broken.jsonl'), 'data');
    const { results } = start({ data: { ...data, label: 'my train.jsonl' } as FileSource });
    await assert.rejects(results, (error: EspalierError) => {
      assert.equal(error.code, 'data_format');
      assert.match(error.message, /^my train\.jsonl:1: /);
      assert.doesNotMatch(error.line, /scratch/);
      return true;
    });
    const missing = { name: 'data.csv', digest: 'b'.repeat(64), sizeBytes: 3 };
    await assert.rejects(start({ data: { kind: 'blobs', label: 'x', files: [missing] } }).results, {
      code: 'blob_missing',
    });
  });

  test('whose names are on no list are refused before anything is fetched', async () => {
    const [file] = (uploaded.data as Extract<FileSource, { kind: 'blobs' }>).files;
    for (const name of ['../data.jsonl', '/etc/passwd', 'data.jsonl\0', 'data.parquet', '']) {
      const { results } = start({ data: { kind: 'blobs', label: 'x', files: [{ ...file, name }] } });
      await assert.rejects(results, { code: 'campaign_format' }, name);
    }
    const twice = start({
      model: {
        kind: 'blobs',
        label: 'x',
        files: [
          { ...file, name: 'vocab.txt' },
          { ...file, name: 'vocab.txt' },
        ],
      },
    });
    await assert.rejects(twice.results, { code: 'campaign_format', message: 'model: got vocab.txt twice' });
  });

  test('that a disk has changed since they were pulled are pulled again', async () => {
    await resources.blobs.remove(weightsOf(uploaded.model).digest);
    const own = await openJobResources({
      ...{ objects: bus.objects, cacheDir: at('changed'), cacheLimitBytes: 1e9, volumes: new Map() },
    });
    const { digest, sizeBytes } = weightsOf(uploaded.model);
    const file = await own.cache.fetch(digest, sizeBytes);
    const bytes = await readFile(file);
    bytes[bytes.length - 1] ^= 1;
    await writeFile(file, bytes);
    await assert.rejects(start({}, { resources: own }).results, { code: 'blob_corrupt' });
    // Nor is damage taken for the user's mistake.
    assert.ok(uploaded.data.kind === 'blobs');
    const [data] = uploaded.data.files;
    await writeFile(await own.cache.fetch(data.digest, data.sizeBytes), Buffer.alloc(data.sizeBytes, '{'));
    await assert.rejects(start({}, { resources: own }).results, { code: 'blob_corrupt' });
    await assertSame(await start({}, { resources: own }).results, 'local', local);
  });

  test('of a volume that changed since the job began: the job fails, what was stored is not mixed with it', async () => {
    await writeToyModel(at('volume/models/changing'), { layers: 2, hidden: 32, heads: 4, neurons: 64, seed: 8 });
    const spec: Partial<JobSpec> = {
      model: { kind: 'volume', volume: 'shared', path: ['models', 'changing'] },
      method: 'search',
    };
    const first = start(spec);
    await first.results;
    await writeToyModel(at('volume/models/changing'), { layers: 2, hidden: 32, heads: 4, neurons: 64, seed: 9 });
    await assert.rejects(start(spec, { record: first.record }).results, (error: EspalierError) => {
      assert.equal(error.code, 'resume_mismatch');
      assert.match(error.message, /^the inputs changed since the job began: model: got "[0-9a-f]+\.\.\., expected "/);
      return true;
    });
  });

  test('behind links that lead out of a volume are not read', async () => {
    await symlink(at('volume/models/toy'), at('outside'));
    await mkdir(at('other'));
    await symlink(at('volume/data'), at('other/data'));
    const volumes = new Map([['other', at('other')]]);
    const own = { ...resources, volumes };
    const data: FileSource = { kind: 'volume', volume: 'other', path: ['data', 'train.jsonl'] };
    await assert.rejects(start({ data }, { resources: own }).results, {
      code: 'campaign_format',
      message: 'other/data: got a link that leads out of the volume',
    });
  });
});

function weightsOf(source: FileSource): FileRef {
  assert.ok(source.kind === 'blobs');
  return source.files.find(({ name }) => name === 'model.safetensors')!;
}
