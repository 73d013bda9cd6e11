// Tables and searches by time over workers whose clock is made up: a table is what the clock says, what a machine does
// meanwhile falls out of it, and a search is corrected until the clock agrees with the budget.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import type { ModelBlobs } from '../../../coordinator/job/model-blobs.ts';
import type { Budget } from '../../../coordinator/prune-settings.ts';
import type { MeasuredSpeed } from '../../../coordinator/stages/latency.ts';
import {
  type LatencyParts,
  latencyBudgetReport,
  latencyTarget,
  latencyVerdict,
  type MasksAt,
  requireReachable,
  timeSearch,
} from '../../../coordinator/stages/latency-budget.ts';
import { type FoundTable, findTable } from '../../../coordinator/stages/profile.ts';
import type { TaskSpec } from '../../../coordinator/workers/task-spec.ts';
import type { LatencyTable } from '../../../pruning/latency-table.ts';
import { randomStream } from '../../../pruning/random.ts';
import { modelConfig } from './configs.ts';

const [LAYERS, HEADS, NEURONS] = [3, 4, 64];
const CONFIG = modelConfig({ layers: LAYERS, heads: HEADS, intermediateSize: NEURONS });
const MODEL = { config: CONFIG, ref: { configJson: '{}', weights: [] }, blobs: [] } as unknown as ModelBlobs;
const REQUEST = { runtime: 'onnxruntime', threads: 2, batchSize: 8, tokens: 16 } as const;
const SETTINGS = { search: 'paper', neuronMultiple: 1 } as const;
const BUDGET: Budget = { kind: 'latency', text: 'latency-0.5', value: 0.5 };
const random = randomStream(3, 'importance');
const values = (count: number) => new Float64Array(count).map(() => random.uniform());
const IMPORTANCE = { heads: values(LAYERS * HEADS), neurons: values(LAYERS * NEURONS) };

/** What the published method would prune to. */
function masksAt(parts: LatencyParts): MasksAt {
  const search = timeSearch(fakeContext(fair).context, parts);
  return (share) => search(share, IMPORTANCE);
}

/** Seconds of a pass of a model with so many heads and neurons in all. */
type Clock = (heads: number, neurons: number) => number;
const fair: Clock = (heads, neurons) => 0.001 + heads * 0.0005 + neurons * 0.00005;

function fakeContext(clock: Clock, machine = 'toy, 2 cores') {
  const tasks: string[] = [];
  const notices: string[] = [];
  const stored = new Map<string, unknown>();
  const runTask = ({ id, request }: TaskSpec) => {
    tasks.push(id);
    const { students = [], repeats = 0 } = request.latency!;
    // The machine is twice as slow in every other task.
    const pace = tasks.length % 2 === 0 ? 2 : 1;
    const count = (mask: Uint8Array, all: number) =>
      mask.length === 0 ? all : mask.reduce((sum, bit) => sum + bit, 0);
    const seconds = students.flatMap(({ headMask, neuronMask }) => {
      const heads = count(headMask as Uint8Array, LAYERS * HEADS);
      const neurons = count(neuronMask as Uint8Array, LAYERS * NEURONS);
      return new Array<number>(repeats).fill(pace * clock(heads, neurons));
    });
    const about = JSON.stringify({ name: 'onnxruntime', version: '1.30.0', provider: 'cpu', threads: 2, machine });
    return new Map([
      ['seconds', { name: 'seconds', dtype: 'F64', shape: [], data: Float64Array.from(seconds) }],
      ['runtime', { name: 'runtime', dtype: 'U8', shape: [], data: new TextEncoder().encode(about) }],
    ]);
  };
  const context = {
    workers: { runTasks: async (specs: TaskSpec[]) => specs.map(runTask) },
    signal: new AbortController().signal,
    emit: (event: { kind: string; text?: string }) => event.kind === 'notice' && notices.push(event.text ?? ''),
    home: {
      readJson: async (name: string) => stored.get(name) ?? null,
      writeJson: async (name: string, value: unknown) => stored.set(name, value),
    },
    checkpoint: { config: CONFIG },
    model: MODEL,
  } as unknown as JobContext;
  return { context, tasks, notices, stored };
}

async function measuredTable(clock: Clock = fair): Promise<FoundTable> {
  return findTable(fakeContext(clock).context, MODEL, REQUEST, { given: null, cache: null });
}

test('a measured table has the clock of the machine, which was now slow and now quick', async () => {
  const { table, source } = await measuredTable();
  assert.equal(source, 'measured');
  const { runtime, device, threads, batchSize, tokens } = table;
  assert.deepEqual([runtime, device, threads, batchSize, tokens], ['onnxruntime 1.30.0', 'toy, 2 cores', 2, 8, 16]);
  // The median of the dense passes sets the scale, here of one of the two paces; all else is by ratios.
  const scale = table.restSeconds / 0.001;
  assert.ok(scale >= 1 && scale <= 2, `${scale}`);
  const near = (a: number, b: number) => assert.ok(Math.abs(a / scale - b) < 1e-9, `${a / scale} for ${b}`);
  for (const [heads, seconds] of table.attentionSeconds.entries()) near(seconds, heads * 0.0005);
  for (const { neurons, seconds } of table.ffnSeconds) near(seconds, neurons * 0.00005);
});

test('a table comes from the file that is given, or from the cache, before it is measured', async () => {
  const found = await measuredTable();
  const { context, tasks } = fakeContext(fair);
  const cache = { read: async () => found.table, write: async () => assert.fail('nothing was measured') };
  assert.equal((await findTable(context, MODEL, REQUEST, { given: null, cache })).source, 'cached');
  const elsewhere: LatencyTable = { ...found.table, device: 'phone, 8 cores', threads: 8 };
  const file = 't.json';
  const theirs = { table: elsewhere, file, otherMachine: true };
  const given = await findTable(context, MODEL, REQUEST, { given: theirs, cache });
  assert.deepEqual([given.source, given.table.device, given.machine], ['given', 'phone, 8 cores', 'toy, 2 cores']);
  assert.deepEqual(tasks, ['profile/runtime', 'profile/runtime']);
  await assert.rejects(findTable(context, MODEL, REQUEST, { given: { ...theirs, otherMachine: false }, cache }), {
    code: 'latency_table',
    message: 't.json: device: got phone, 8 cores, expected toy, 2 cores, which measures here',
  });
  for (const [wrong, message] of [
    [{ batchSize: 1 }, /^t\.json: batchSize: got 1, expected 8$/],
    [{ tokens: 128 }, /^t\.json: tokens: got 128, expected 16$/],
    [{ runtime: 'engine 2.21.0' }, /^t\.json: runtime: got engine 2\.21\.0, expected onnxruntime 1\.30\.0$/],
    [{ model: { ...found.table.model, layers: 12 } }, /^t\.json: model\.layers: got 12, expected 3$/],
  ] as const)
    await assert.rejects(
      findTable(context, MODEL, REQUEST, {
        given: { table: { ...found.table, ...wrong }, file, otherMachine: false },
        cache,
      }),
      { code: 'latency_table', message },
    );
});

test('a search whose prediction holds is measured once; what it found is stored and taken again', async () => {
  const parts: LatencyParts = { found: await measuredTable(), request: REQUEST, settings: SETTINGS };
  const { context, tasks } = fakeContext(fair);
  requireReachable(context, [BUDGET], parts);
  const first = await latencyTarget(context, masksAt(parts), BUDGET, 'plan/budget', parts);
  assert.equal(first.rounds.length, 1);
  assert.equal(first.target.fraction, 0.5);
  assert.ok(Math.abs(first.rounds[0].byGoal - 1) <= 0.05);
  assert.deepEqual(tasks, ['profile/latency-0.5/0']);
  const again = await latencyTarget(context, masksAt(parts), BUDGET, 'plan/budget', parts);
  assert.deepEqual(again.rounds, first.rounds);
  assert.deepEqual(again.target, first.target);
  assert.equal(tasks.length, 1);
});

test('a table that is wrong for this budget is corrected until the clock agrees', async () => {
  // Heads save nothing here until all of them are gone, which the table knows nothing of.
  const parts: LatencyParts = { found: await measuredTable(), request: REQUEST, settings: SETTINGS };
  const harsh: Clock = (heads, neurons) => fair(heads, neurons) + (heads < LAYERS * HEADS ? 0.002 : 0);
  const { context } = fakeContext(harsh);
  const { target, rounds } = await latencyTarget(context, masksAt(parts), BUDGET, 'plan/budget', parts);
  assert.ok(rounds.length > 1 && rounds[0].byGoal > 1.05, JSON.stringify(rounds));
  const last = rounds.find(({ share }) => share === target.fraction)!;
  assert.ok(Math.abs(last.byGoal - 1) <= 0.05, JSON.stringify(rounds));
  assert.ok(target.fraction < 0.5);
});

test('a budget that no correction meets keeps the closest, and says so in one line', async () => {
  const parts: LatencyParts = { found: await measuredTable(), request: REQUEST, settings: SETTINGS };
  const stuck: Clock = (heads, neurons) => (heads === LAYERS * HEADS && neurons === LAYERS * NEURONS ? 0.01 : 0.008);
  const { context } = fakeContext(stuck);
  const found = await latencyTarget(context, masksAt(parts), BUDGET, 'plan/budget', parts);
  assert.ok(found.rounds.length <= 4);
  const masks = await masksAt(parts)(found.target.fraction);
  const speed: MeasuredSpeed = {
    ...{ runtime: 'onnxruntime', version: '1.30.0', provider: 'cpu', machine: 'toy, 2 cores', threads: 2 },
    ...{ batchSize: 8, tokens: 16, repeats: 15, input: 'valid token ids, no padding' },
    dense: { median: 0.01, p10: 0.01, p90: 0.01 },
    pruned: { median: 0.008, p10: 0.008, p90: 0.008 },
    ratio: 0.8,
  };
  const report = latencyBudgetReport(context, BUDGET, found, masks, parts, [speed]);
  assert.equal(report.met, false);
  assert.equal(
    latencyVerdict(report, BUDGET.text),
    'latency-0.5: measured 60.0 % more than the budget in onnxruntime at 8 x 16, not within 5 %',
  );
  const met = { ...speed, pruned: { ...speed.pruned, median: 0.0051 } };
  assert.equal(latencyVerdict(latencyBudgetReport(context, BUDGET, found, masks, parts, [met]), 'x'), null);
  const none = latencyBudgetReport(context, BUDGET, found, masks, parts, []);
  assert.equal(latencyVerdict(none, 'x'), 'x: the result was not measured in onnxruntime at 8 x 16');
});

test('the table of another machine is taken at its word, and the report names both', async () => {
  const { table } = await measuredTable();
  const found: FoundTable = { table: { ...table, device: 'phone, 8 cores' }, source: 'given', machine: 'toy, 2 cores' };
  const parts: LatencyParts = { found, request: REQUEST, settings: SETTINGS };
  const { context, tasks } = fakeContext(fair);
  const sought = await latencyTarget(context, masksAt(parts), BUDGET, 'plan/budget', parts);
  assert.deepEqual([sought.target.fraction, sought.rounds, tasks], [0.5, [], []]);
  const report = latencyBudgetReport(context, BUDGET, sought, await masksAt(parts)(0.5), parts, []);
  assert.deepEqual([report.met, report.table.device, report.machine], [null, 'phone, 8 cores', 'toy, 2 cores']);
  const { attentionSeconds: attention, ffnSeconds: ffn, restSeconds: rest } = table;
  assert.deepEqual(report.table.seconds, { attention, ffn, rest });
  assert.ok(report.predictedShare <= 0.5 && report.predictedShare > 0.45);
  assert.equal(
    latencyVerdict(report, 'latency-0.5'),
    'latency-0.5: by the table of phone, 8 cores; what is measured here is of toy, 2 cores',
  );
});

test('budgets in milliseconds are of the dense time that the table has', async () => {
  const parts: LatencyParts = { found: await measuredTable(), request: REQUEST, settings: SETTINGS };
  const { context } = fakeContext(fair);
  const ms = (value: number): Budget => ({ kind: 'latency-ms', text: `latency-${value}ms`, value });
  assert.throws(() => requireReachable(context, [ms(10_000)], parts), { code: 'budget_out_of_range' });
  assert.throws(() => requireReachable(context, [ms(0.01)], parts), { code: 'budget_out_of_range' });
  requireReachable(context, [ms(12)], parts);
});
