// Several sub-layers of tuning in one task: the scales of one by one, from where an earlier run ended, too.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { mostChained } from '../../../coordinator/stages/task-chain.ts';
import { measuredPace, type TaskPace } from '../../../coordinator/stages/task-pace.ts';
import { runTune, type TuningProgress } from '../../../coordinator/stages/tune.ts';
import type { TaskSpec } from '../../../coordinator/workers/task-spec.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { DEFAULT_TUNING_SETTINGS } from '../../../pruning/tuning-settings.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { type Answer, type GradualWorld, gradualWorld, inFolder } from '../../support/gradual-world.ts';

const ALL: TaskPace = { most: 100, took() {} };
const STEPS = ['0.ffn', '1.attention', '1.ffn'];

/** A world whose worker answers several as it answers each of them, from what an earlier world was sent. */
function chainedWorld(folder: string, single: GradualWorld, change = (tensors: NamedTensor[]) => tensors) {
  const answers = (task: TaskSpec, answer: Answer) => {
    const { solve } = task.request;
    if (!solve?.next) return answer(task);
    const first = STEPS.indexOf(`${solve.layer}.${solve.subLayer}`);
    const own = single.tasks.slice(first, first + 1 + solve.next.length);
    return change(
      own.flatMap((of, at) =>
        answer(of).map((tensor) => (at === 0 ? tensor : { ...tensor, name: `${at}.${tensor.name}` })),
      ),
    );
  };
  return gradualWorld(folder, { answers });
}

async function tuneIn({ context }: GradualWorld, pace?: TaskPace, resumed: TuningProgress | null = null) {
  const masks = denseMasks(2, 2, 6);
  const stored: TuningProgress[] = [];
  const input = { teacher: masks, student: masks, settings: DEFAULT_TUNING_SETTINGS, resumed };
  const found = await runTune(
    context,
    { ...input, ...(pace && { pace }) },
    {
      async store(progress) {
        stored.push(progress);
      },
    },
  );
  return { found, stored };
}

test('all in one task, or one and the others: the scales of one by one, stored as they come', () =>
  inFolder(async (folder) => {
    const single = gradualWorld(path.join(folder, 'single'));
    const { found: expected, stored } = await tuneIn(single);
    assert.deepEqual(
      single.sent,
      STEPS.map((step) => `solve/${step}`),
    );
    for (const [pace, sent] of [
      [ALL, ['solve/0.ffn+2']],
      [measuredPace({ taskMs: 1e9 }), ['solve/0.ffn', 'solve/1.attention+1']],
      [measuredPace({ taskMs: 20, expectedMs: 5 }), ['solve/0.ffn+2']],
    ] as const) {
      const world = chainedWorld(path.join(folder, 'chained'), single);
      const chained = await tuneIn(world, pace);
      assert.deepEqual(chained.found, expected);
      assert.deepEqual([chained.stored[0], chained.stored.at(-1)], [stored[0], expected]);
      assert.deepEqual(world.sent, sent);
    }
    const again = chainedWorld(path.join(folder, 'again'), single);
    assert.deepEqual((await tuneIn(again, ALL, stored[0])).found, expected);
    assert.deepEqual(again.sent, ['solve/1.attention+1']);
  }));

test('of two workers one gets all in one task as long as sharing sums takes longer', () =>
  inFolder(async (folder) => {
    const single = gradualWorld(path.join(folder, 'single'));
    const { found } = await tuneIn(single);
    const world = chainedWorld(path.join(folder, 'two'), single);
    Object.assign(world.context.workers, { count: 2, tuningSpread: 1 });
    assert.deepEqual((await tuneIn(world, ALL)).found, found);
    assert.deepEqual(world.sent, ['solve/0.ffn+2']);
    const shared = { count: 2, tuningSpread: 2 };
    assert.deepEqual([mostChained(shared, ALL), mostChained({ count: 2 }, ALL)], [1, 1]);
  }));

test('what is no scale, of another type, order or number is refused', () =>
  inFolder(async (folder) => {
    const single = gradualWorld(path.join(folder, 'single'));
    await tuneIn(single);
    const changed = (name: string, change: (tensor: NamedTensor) => Partial<NamedTensor>) => (tensors: NamedTensor[]) =>
      tensors.map((tensor) => (tensor.name === name ? ({ ...tensor, ...change(tensor) } as NamedTensor) : tensor));
    const full =
      (value: number) =>
      ({ data }: NamedTensor) => ({ data: new Float64Array(data.length).fill(value) });
    for (const [change, code] of [
      [(tensors: NamedTensor[]) => tensors.slice(0, -2), 'protocol'],
      [(tensors: NamedTensor[]) => tensors.toSpliced(0, 2, tensors[1], tensors[0]), 'protocol'],
      [(tensors: NamedTensor[]) => [...tensors, { ...tensors[0], name: '3.scales' }], 'protocol'],
      [changed('1.scales', () => ({ shape: [1], data: Float64Array.of(1) })), 'protocol'],
      [
        changed('1.scales', ({ data }) => ({ dtype: 'F32', data: Float32Array.from(data as Float64Array) })),
        'protocol',
      ],
      [changed('2.scales', full(1e300)), 'not_finite'],
    ] as const)
      await assert.rejects(tuneIn(chainedWorld(folder, single, change), ALL), { code });
  }));
