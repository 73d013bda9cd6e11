// States of mid-tuning go from worker to worker when the owner of shards changes, and only then; without them the result
// is the same.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { afterEach, test } from 'node:test';
import { SILENT_LISTENER } from '../../../coordinator/workers/fleet-listener.ts';
import { isCheaper } from '../../../coordinator/workers/hand-over.ts';
import type { TaskSpec } from '../../../coordinator/workers/task-spec.ts';
import { blobOfBytes } from '../../../shared/blobs/blob-source.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { decodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { type ListedWorker, openSource, type TestSource } from '../../support/worker-list.ts';

const model = { configJson: JSON.stringify({ hidden_size: 768 }), weights: [] };
const plan = blobOfBytes(Buffer.from('a plan'));
const NODES = [0, 2, 4, 6].map((first) => ({ first, end: first + 2 }));

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

/** A sub-layer of tuning as tune.ts asks for it. */
function step(layer: number): TaskSpec[] {
  return NODES.map((shards) => ({
    id: `normal-equations/${layer}.ffn/${shards.first}-${shards.end}`,
    blobs: [plan],
    request: {
      task: 'normalEquations',
      normalEquations: {
        model,
        plan: { digest: plan.digest, sizeBytes: plan.sizeBytes },
        shards,
        layer,
        subLayer: 'ffn',
      },
    },
    affinity: `${shards.first}-${shards.end}`,
    deadlineMs: 10_000,
  }));
}

interface Asked {
  readonly worker: number;
  readonly id: string;
  readonly states: string | null;
  /** Shards whose states a solve came with. */
  readonly given: readonly string[];
}

async function opened(): Promise<{
  source: TestSource;
  asked: Asked[];
  start(onActivations?: (first: number) => NamedTensor[], device?: string): Promise<ListedWorker>;
}> {
  const source = openSource(new ManualClock(), SILENT_LISTENER);
  releases.add(() => source.close());
  const asked: Asked[] = [];
  let count = 0;
  const start = async (onActivations?: (first: number) => NamedTensor[], kind = 'cpu') => {
    const worker = count;
    count += 1;
    const answer = (request: RunRequest): NamedTensor[] => {
      const { normalEquations, activations, solve } = request;
      const given = (solve?.states ?? []).map(({ shards }) => `${shards?.first}-${shards?.end}`);
      asked.push({ worker, id: request.taskId, states: normalEquations?.states?.digest ?? null, given });
      if (activations) assert.equal(activations.heldOnly, true, 'nothing is computed for it');
      if (activations && onActivations) return onActivations(activations.shards?.first ?? -1);
      const range = activations?.shards ?? normalEquations?.shards;
      const data = Float32Array.of(activations?.layer ?? normalEquations?.layer ?? -1, range?.first ?? -1);
      return [{ name: activations ? 'teacher.0' : 'sum', dtype: 'F32', shape: [2], data }];
    };
    return source.start({ run: answer, deviceClass: { ...FAKE_DEVICE, kind } });
  };
  return { source, asked, start };
}

const sums = (results: readonly Map<string, NamedTensor>[]) =>
  results.map((result) => [...(result.get('sum')?.data ?? [])]);
const expected = (layer: number) => NODES.map(({ first }) => [layer, first]);

test('a worker that joins in mid-tuning takes its share with the states of the one that had them', async () => {
  const { source, asked, start } = await opened();
  const old = await start();
  await source.scheduler.runTasks(step(5));
  const joined = await start();
  asked.splice(0);
  assert.deepEqual(sums(await source.scheduler.runTasks(step(6))), expected(6));
  assert.equal(source.scheduler.handOvers, 2);
  const fetched = asked.filter(({ id }) => id.startsWith('activations/'));
  assert.deepEqual(
    fetched.map(({ worker }) => worker),
    [0, 0],
  );
  const moved = asked.filter(({ worker }) => worker === 1);
  assert.equal(moved.length, 2);
  for (const { id, states } of moved) {
    assert.ok(states !== null, `${id} came without states`);
    const first = Number(/(\d+)-\d+$/.exec(id)?.[1]);
    const { tensors } = decodeSafetensors(await readFile(joined.blobs.path(states)), 'states');
    assert.deepEqual([...(tensors.get('teacher.0')?.data ?? [])], [6, first], 'of this sub-layer and these shards');
  }
  asked.splice(0);
  await source.scheduler.runTasks(step(7));
  assert.ok(
    asked.every(({ id, states }) => states === null && !id.startsWith('activations/')),
    'once is enough',
  );
  assert.ok(old.executor.started.length > 0);
});

test('states that cannot be had are computed again, and nothing fails', async () => {
  const { source, asked, start } = await opened();
  await start(() => {
    throw new EspalierError('worker_unavailable', 'draining');
  });
  await source.scheduler.runTasks(step(5));
  await start();
  asked.splice(0);
  assert.deepEqual(sums(await source.scheduler.runTasks(step(6))), expected(6));
  assert.equal(source.scheduler.handOvers, 0);
  assert.ok(asked.some(({ worker, states }) => worker === 1 && states === null));
});

test('on a GPU they are computed again: that is faster', async () => {
  const { source, asked, start } = await opened();
  await start(undefined, 'gpu');
  await source.scheduler.runTasks(step(5));
  await start(undefined, 'gpu');
  assert.deepEqual(sums(await source.scheduler.runTasks(step(6))), expected(6));
  assert.ok(asked.every(({ id }) => !id.startsWith('activations/')));
});

function drain(source: TestSource, { pooled }: ListedWorker): void {
  pooled.isLeaving = true;
  source.changed();
}

/** A sub-layer that one worker sums and solves. */
function solveStep(layer: number): TaskSpec[] {
  const [fit, heldOut] = [
    { first: 0, end: 6 },
    { first: 6, end: 8 },
  ].map((shards) => ({ shards }));
  const ref = { digest: plan.digest, sizeBytes: plan.sizeBytes };
  const solve = { model, plan: ref, layer, subLayer: 'ffn', fit: fit!, heldOut: heldOut! };
  return [
    { id: `solve/${layer}`, blobs: [plan], request: { task: 'solve', solve }, affinity: 'solve', deadlineMs: 10_000 },
  ];
}

test('a solve in place takes the states of all shards along when its worker drains', async () => {
  const { source, asked, start } = await opened();
  const old = await start();
  await source.scheduler.runTasks(solveStep(5));
  await start();
  drain(source, old);
  asked.splice(0);
  await source.scheduler.runTasks(solveStep(6));
  const ids = asked.map(({ worker, id }) => `${worker} ${id}`);
  const parts = ['0-4', '4-8'];
  assert.deepEqual(ids, [...parts.map((part) => `0 activations/solve/6/${part}`), '1 solve/6']);
  assert.deepEqual(asked.at(-1)?.given, parts);
  asked.splice(0);
  await source.scheduler.runTasks(solveStep(7));
  assert.deepEqual(
    asked.map(({ id, given }) => [id, given]),
    [['solve/7', []]],
    'once is enough',
  );
});

test('of a solve in place, what came before the old worker ended is used', async () => {
  const { source, asked, start } = await opened();
  const old = await start((first) => {
    if (first === 4) throw new EspalierError('worker_unavailable', 'gone');
    return [{ name: 'teacher.0', dtype: 'F32', shape: [1], data: Float32Array.of(1) }];
  });
  await source.scheduler.runTasks(solveStep(5));
  await start();
  drain(source, old);
  await source.scheduler.runTasks(solveStep(6));
  assert.deepEqual(asked.at(-1)?.given, ['0-4']);
  assert.equal(source.scheduler.handOvers, 1);
});

test('a worker that is gone is not asked', async () => {
  const { source, asked, start } = await opened();
  const old = await start();
  await source.scheduler.runTasks(step(5));
  await start();
  source.remove(old);
  asked.splice(0);
  assert.deepEqual(sums(await source.scheduler.runTasks(step(6))), expected(6));
  assert.ok(asked.every(({ worker, states }) => worker === 1 && states === null));
});

test('what is cheaper grows with depth and width, and is never a guess without a width', () => {
  const at = (layer: number, hidden: number | null, kind: string) =>
    isCheaper(
      { normalEquations: { model: { configJson: JSON.stringify({ hidden_size: hidden }), weights: [] }, layer } },
      { ...FAKE_DEVICE, kind },
    );
  assert.equal(at(0, 768, 'cpu'), false, 'nothing lies before the first layer');
  assert.equal(at(1, 768, 'cpu'), true);
  assert.equal(at(11, 768, 'gpu'), false);
  assert.equal(at(1, 8, 'cpu'), false);
  assert.equal(at(6, null, 'cpu'), false);
});
