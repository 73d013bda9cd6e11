// The search for the smallest model within a loss, with losses that are made up: a real model is written, nothing is
// computed by workers.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { type Checkpoint, openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import { modelCosts } from '../../../coordinator/job/budget.ts';
import type { JobContext } from '../../../coordinator/job/job-context.ts';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import type { Budget } from '../../../coordinator/prune-settings.ts';
import { macsSearch } from '../../../coordinator/stages/find-masks.ts';
import { DropCandidates, type DropSearch } from '../../../coordinator/stages/max-drop.ts';
import { planSamples } from '../../../coordinator/stages/plan.ts';
import { pruneToTarget } from '../../../coordinator/stages/prune-budget.ts';
import type { TaskSpec } from '../../../coordinator/workers/task-spec.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { bisectionOrder, type ShareOrder, sharesFrom, walkOrder } from '../../../pruning/smallest-share.ts';
import { blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { writeToyModel } from '../../support/toy-model.ts';
import { samplesOf } from '../dataset/samples.ts';

const DENSE = 0.9;
let folder = '';
let checkpoint: Checkpoint;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-max-drop-'));
  checkpoint = await openCheckpoint(await writeToyModel(path.join(folder, 'model'), { neurons: 100 }));
});
afterEach(() => rm(path.join(folder, 'out'), { recursive: true, force: true }));
after(async () => {
  await checkpoint.close();
  await rm(folder, { recursive: true, force: true });
});

interface World {
  readonly candidates: DropCandidates;
  readonly events: JobEvent[];
  /** Shares that were judged, in order. */
  readonly judged: string[];
}

/** @param dropOf of a share, or of the written model at one. @param bound above it.
 * @param stored what is stored, of earlier worlds too. */
function world(
  dropOf: (share: number, isWritten: boolean) => number,
  options: {
    bound?: number;
    maxDropConfidence?: number;
    stored?: Map<string, unknown>;
    dense?: number;
    over?: DropSearch['over'];
    order?: ShareOrder;
  } = {},
): World {
  const { bound = 0.02, stored = new Map(), dense = DENSE, over = 'macs' } = options;
  const { order = bisectionOrder(sharesFrom(0.05)) } = options;
  const events: JobEvent[] = [];
  const judged: string[] = [];
  const { config } = checkpoint;
  const samples = samplesOf(Array.from({ length: 20 }, () => 4));
  const planned = planSamples(samples, {
    ...{ config, device: FAKE_DEVICE, groupSize: 1, tokensPerBatch: 64, heldOut: false },
  });
  let at = { share: 0, isWritten: false };
  const context = {
    ...{ checkpoint, evaluation: null, calibration: planned, signal: new AbortController().signal },
    model: { config, ref: { weights: [{ digest: 'a', sizeBytes: 1 }] }, blobs: [] },
    weights: { place: async () => blobOfBytes(new Uint8Array(1)) },
    compute: { write: writePrunedCheckpoint },
    emit: (event: JobEvent) => events.push(event),
    home: {
      readJson: async (name: string) => stored.get(name) ?? null,
      writeJson: async (name: string, value: unknown) => stored.set(name, value),
      readTensors: async () => null,
      writeTensors: async () => {},
      staging: async (text: string) => path.join(folder, 'out', text),
    },
    workers: {
      runTasks: async (tasks: readonly TaskSpec[]) =>
        tasks.map(({ request }) => {
          const { first, end } = request.evaluate!.shards as { first: number; end: number };
          const { firstSample } = planned.plan.shards[first];
          const length = (planned.plan.shards[end - 1].endSample - firstSample) * config.outputs;
          return new Map([
            ['logits', { name: 'logits', dtype: 'F32', shape: [length], data: new Float32Array(length) }],
          ]);
        }),
    },
  } as unknown as JobContext;
  const searched = { search: 'paper', neuronMultiple: 1 } as const;
  const costs = modelCosts(config, 4, { budgets: [], ...searched });
  const importance = {
    heads: new Float64Array(config.layers * config.heads).fill(1),
    neurons: new Float64Array(config.layers * config.intermediateSize).fill(1),
  };
  const found = new Map<Masks, number>();
  const search = macsSearch(config, costs, searched);
  const parts: DropSearch = {
    ...{ costs, prefix: 'plan', order, over },
    settings: { dtype: null, search: 'paper', ...options },
    async prune(target) {
      at = { share: target.fraction, isWritten: false };
      const settings = { method: 'search', damping: 'ridge' } as const;
      const unmeasured = { ...context, evaluation: null };
      const result = await pruneToTarget(
        unmeasured,
        { file: '', seconds: 1, importance },
        search,
        costs,
        target,
        settings,
      );
      found.set(result.masks, target.fraction);
      return result;
    },
    heldOut: {
      ...{ ...planned, samples, examples: 20, metric: 'accuracy' },
      judge() {
        judged.push(`${at.share}${at.isWritten ? ' written' : ''}`);
        const drop = dropOf(at.share, at.isWritten);
        return { dense, pruned: dense - drop, drop, bound: drop + bound };
      },
    },
  };
  const write = context.compute.write;
  (context.compute as { write: typeof write }).write = (source, masks, dtype, directory, layout, patches) => {
    at = { share: found.get(masks) ?? assert.fail('other masks'), isWritten: true };
    return write(source, masks, dtype, directory, layout, patches);
  };
  return { candidates: new DropCandidates(context, parts), events, judged };
}

const within = (value: number): Budget => ({ text: `max-drop-${value}`, value, kind: 'max-drop' });
/** Falls from 0.5 at nothing to 0 at all, by 0.005 a hundredth. */
const even = (share: number) => (1 - share) / 2;

test('the smallest share within, judged again as written', async () => {
  const { candidates, judged, events } = world(even);
  const { maxDrop, result } = await candidates.smallestWithin(within(0.1));
  assert.equal(maxDrop?.written.macs, 0.8);
  assert.equal(judged.at(-1), '0.8 written');
  assert.deepEqual(
    judged.slice(0, -1),
    maxDrop.candidates.map(({ macs }) => `${macs}`),
  );
  assert.ok(result.macs > 0 && maxDrop.candidates.length <= 7);
  const notices = events.flatMap((event) => (event.kind === 'notice' ? [event.text] : []));
  assert.equal(notices.length, maxDrop.candidates.length);
  assert.ok(
    notices.includes(
      'max-drop-0.1: 0.8 of the MACs loses 0.1000 of accuracy (0.9000 to 0.8000; 95 % sure: at most 0.1200): within',
    ),
  );
});

test('over time: shares are of time, what is kept of MACs is told beside, and stages lie apart', async () => {
  const stored = new Map<string, unknown>();
  const { candidates, events } = world(even, { over: 'time', stored });
  const { maxDrop, result } = await candidates.smallestWithin(within(0.1));
  assert.equal(maxDrop?.written.time, 0.8);
  const macs = maxDrop.written.macs;
  assert.ok(macs > 0 && macs <= 0.8 && result.macs > 0);
  assert.ok(
    events.some((event) => event.kind === 'notice' && event.text.includes("0.8 of the dense model's time loses")),
  );
  const names = [...stored.keys()].filter((name) => name.includes('held-out') && !name.includes('max-drop'));
  assert.ok(names.length > 0 && names.every((name) => /budget-time-/.test(name)), names.join(' '));
});

test('the bound decides where a confidence is asked for', async () => {
  const { candidates } = world(even, { maxDropConfidence: 0.9 });
  const { maxDrop } = await candidates.smallestWithin(within(0.1));
  assert.deepEqual([maxDrop?.decidedBy, maxDrop?.written.macs], ['bound', 0.84]);
});

/** The grid of a gradual job. */
const WALK = [0.8, 0.65, 0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.16, 0.128, 0.1];
const sharesOf = (found: readonly { readonly macs: number }[] = []) => found.map(({ macs }) => macs);

for (const [name, order] of [
  ['bisection', bisectionOrder(sharesFrom(0.05))],
  ['a walk', walkOrder(WALK)],
] as const)
  test(`${name}: several losses judge each share once, and each finds what it finds alone, however losses waver`, async () => {
    const waver = (share: number) => even(share) + (Math.round(100 * share) % 3 === 0 ? 0.06 : 0);
    const shared = world(waver, { order });
    for (const allowed of [0.1, 0.3, 0.14]) {
      const { maxDrop } = await shared.candidates.smallestWithin(within(allowed));
      const alone = await world(waver, { order }).candidates.smallestWithin(within(allowed));
      assert.deepEqual(maxDrop, alone.maxDrop);
      const passing = maxDrop!.candidates.filter((candidate) => candidate.within);
      assert.equal(maxDrop!.written.macs, Math.min(...sharesOf(passing)));
      assert.ok(waver(maxDrop!.written.macs) <= allowed);
    }
    assert.equal(new Set(shared.judged).size, shared.judged.length, 'nothing is judged twice');
  });

test('a walk ends at the first share that loses too much, then tries shares between, and none below', async () => {
  const { candidates, judged } = world(even, { order: walkOrder(WALK) });
  const { maxDrop } = await candidates.smallestWithin(within(0.28));
  assert.deepEqual(sharesOf(maxDrop?.candidates), [0.8, 0.65, 0.5, 0.4, 0.45, 0.42]);
  assert.equal(maxDrop?.written.macs, 0.45);
  assert.equal(judged.at(-1), '0.45 written');
});

test('a walk goes on for the largest loss alone, in whichever order they are asked for', async () => {
  for (const allowed of [
    [0.1, 0.2],
    [0.2, 0.1],
  ]) {
    const { candidates, judged } = world(even, { order: walkOrder(WALK) });
    const found = [];
    for (const own of allowed) found.push((await candidates.smallestWithin(within(own))).maxDrop!.written.macs);
    assert.deepEqual(found.sort(), [0.61, 0.8]);
    assert.equal(Math.min(...judged.map(Number.parseFloat)), 0.5, 'the first share that loses 0.2');
  }
});

test('a walk on which nothing is refused ends at its last share', async () => {
  const { maxDrop } = await world(() => 0, { order: walkOrder(WALK) }).candidates.smallestWithin(within(0.01));
  assert.deepEqual(sharesOf(maxDrop?.candidates), WALK);
  assert.equal(maxDrop?.written.macs, 0.1);
});

test('a walk whose first share is refused: the smallest above it that is within, or the best is told of', async () => {
  const { maxDrop } = await world(even, { order: walkOrder(WALK) }).candidates.smallestWithin(within(0.04));
  assert.deepEqual(sharesOf(maxDrop?.candidates), [0.8, 0.9, 0.95]);
  assert.equal(maxDrop?.written.macs, 0.95);
  const { candidates, judged } = world((share) => 0.02 + even(share), { order: walkOrder(WALK) });
  await assert.rejects(candidates.smallestWithin(within(0.01)), {
    code: 'drop_exceeded',
    message: /^max-drop-0\.01: got no model within it; the best, 0\.95 of the MACs, loses 0\.0450 of accuracy /,
  });
  assert.deepEqual(judged, ['0.8', '0.9', '0.95']);
});

test('of a walk the level of error is shared by the walk as a whole and each share between', async () => {
  const { candidates } = world(even, { order: walkOrder(WALK), maxDropConfidence: 0.9 });
  const { maxDrop } = await candidates.smallestWithin(within(0.1));
  assert.equal(maxDrop?.boundConfidence, 1 - (1 - 0.9) / 3);
  // 0.02 above the estimate: 0.8 is too much, 0.9 and 0.85 are not.
  assert.equal(maxDrop.written.macs, 0.85);
});

test('where a model of a walk loses too much as written, the one before it stands, and shares between are tried', async () => {
  const { candidates, judged } = world((share, isWritten) => even(share) + (isWritten && share < 0.6 ? 0.2 : 0), {
    order: walkOrder(WALK),
  });
  const { maxDrop } = await candidates.smallestWithin(within(0.25));
  assert.deepEqual(judged, [
    ...['0.8', '0.65', '0.5', '0.4', '0.45', '0.47', '0.5 written'],
    ...['0.57', '0.53', '0.53 written', '0.57 written', '0.65 written'],
  ]);
  assert.equal(maxDrop?.written.macs, 0.65);
});

test('no share that could be tried', async () => {
  await assert.rejects(world(even, { order: walkOrder([]) }).candidates.smallestWithin(within(0.1)), {
    code: 'drop_exceeded',
    message: 'max-drop-0.1: got no share of the MACs in hundredths below 1 that keeps a unit, expected one to try',
  });
});

test('a model that loses too much as written is passed over for the next larger one', async () => {
  const { candidates, judged, events } = world(
    (share, isWritten) => even(share) + (isWritten && share < 0.82 ? 0.01 : 0),
  );
  const { maxDrop } = await candidates.smallestWithin(within(0.1));
  assert.equal(maxDrop?.written.macs, 0.82);
  assert.deepEqual(
    judged.filter((name) => name.endsWith('written')),
    ['0.8 written', '0.81 written', '0.82 written'],
  );
  assert.ok(
    events.some(
      (event) => event.kind === 'notice' && /: 0\.81 of the MACs as written loses .*: too much$/.test(event.text),
    ),
  );
});

test('all pass: the smallest of all; none passes: the best is told of', async () => {
  assert.equal((await world(() => -0.01).candidates.smallestWithin(within(0.01))).maxDrop?.written.macs, 0.05);
  const { candidates, judged } = world((share) => 0.02 + even(share));
  await assert.rejects(
    candidates.smallestWithin(within(0.01)),
    (error) =>
      error instanceof EspalierError &&
      error.code === 'drop_exceeded' &&
      error.message ===
        'max-drop-0.01: got no model within it; the best, 0.99 of the MACs, loses 0.0250 of accuracy (0.9000 to 0.8750; 95 % sure: at most 0.0450)',
  );
  assert.equal(judged.at(-1), '0.99');
});

test('a dense model with nothing to lose is refused', async () => {
  await assert.rejects(world(() => 0, { dense: 0 }).candidates.smallestWithin(within(0.01)), {
    code: 'drop_exceeded',
    message: 'max-drop: got a dense model with accuracy 0.0000 on 20 held-out samples, expected more than 0',
  });
});

test('who goes on judges nothing again and finds the same', async () => {
  const stored = new Map<string, unknown>();
  const first = await world(even, { stored }).candidates.smallestWithin(within(0.1));
  const again = world(() => assert.fail('judged again'), { stored });
  assert.deepEqual((await again.candidates.smallestWithin(within(0.1))).maxDrop, first.maxDrop);
  assert.deepEqual(again.judged, []);
});
