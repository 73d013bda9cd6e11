// Several refits in one task: the same patches as one by one, whatever tries of the task have told before; how many go together.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { gradualSettings } from '../../../../coordinator/gradual-settings.ts';
import { maskedStudent } from '../../../../coordinator/job/student.ts';
import { storedGradients } from '../../../../coordinator/stages/gradual/gradients.ts';
import { runRefit } from '../../../../coordinator/stages/gradual/refit.ts';
import { measuredPace, type TaskPace } from '../../../../coordinator/stages/task-pace.ts';
import { stepSettings } from '../../../../coordinator/step-settings.ts';
import type { RunOptions } from '../../../../coordinator/workers/task-run.ts';
import type { TaskSpec } from '../../../../coordinator/workers/task-spec.ts';
import { denseMasks } from '../../../../pruning/masks.ts';
import { EspalierError } from '../../../../shared/errors.ts';
import type { NamedTensor } from '../../../../shared/tensor.ts';
import {
  type Answer,
  type GradualWorld,
  gradualWorld,
  inFolder,
  prunedStudent,
} from '../../../support/gradual-world.ts';
import { received } from '../../../support/received.ts';

const ALL: TaskPace = { most: 100, took() {} };

/** A world whose worker answers several refits as it answers each of them, from what an earlier world was sent. */
function chainedWorld(folder: string, single: GradualWorld, change = (tensors: NamedTensor[]) => tensors) {
  const answers = (task: TaskSpec, answer: Answer) => {
    const next = task.request.refit?.next;
    if (!next) return answer(task);
    const first = single.tasks.findIndex(
      ({ request: { refit } }) =>
        refit?.layer === task.request.refit!.layer && refit?.subLayer === task.request.refit!.subLayer,
    );
    const own = single.tasks.slice(first).filter(({ request }) => request.refit);
    return change(
      own
        .slice(0, 1 + next.length)
        .flatMap((of, at) =>
          answer(of).map((tensor) => (at === 0 ? tensor : { ...tensor, name: `${at}.${tensor.name}` })),
        ),
    );
  };
  return gradualWorld(folder, { answers });
}

async function refitIn(world: GradualWorld, pace?: TaskPace, store: () => Promise<void> = async () => {}) {
  const { context } = world;
  const gradients = await storedGradients(context, maskedStudent(denseMasks(2, 2, 6)), { name: 'gradients' });
  const settings = stepSettings(gradualSettings(undefined), 0.5);
  const input = { student: prunedStudent(), gradients, resumed: [], settings, ...(pace && { pace }) };
  const told: number[] = [];
  const refitted = await runRefit(context, input, { store, progress: (done) => told.push(done) });
  return { found: refitted.map(({ patch, reports }) => [patch?.source.digest, reports]), told };
}

test('all in one task, or one and the others: the patches of one by one, told in order', () =>
  inFolder(async (folder) => {
    const single = gradualWorld(path.join(folder, 'single'));
    const expected = await refitIn(single);
    const all = chainedWorld(path.join(folder, 'all'), single);
    assert.deepEqual(await refitIn(all, ALL), expected);
    assert.deepEqual(
      all.sent.filter((id) => id.startsWith('refit')),
      ['refit/0.attention+3'],
    );
    const [task] = all.tasks.filter(({ request }) => request.refit);
    const means = single.tasks.flatMap(({ request: { refit } }) => (refit ? [refit.weights!.mean] : []));
    assert.deepEqual(
      task.request.refit!.next!.map(({ layer, subLayer, mean }) => [layer, subLayer, mean]),
      [
        [0, 'ffn', means[1]],
        [1, 'attention', means[2]],
        [1, 'ffn', means[3]],
      ],
    );
    const measured = chainedWorld(path.join(folder, 'measured'), single);
    assert.deepEqual(await refitIn(measured, measuredPace({ taskMs: 1e9 })), expected);
    assert.deepEqual(
      measured.sent.filter((id) => id.startsWith('refit')),
      ['refit/0.attention', 'refit/0.ffn+2'],
    );
  }));

test('a task that is tried again tells all once more, and what is here already is passed over', () =>
  inFolder(async (folder) => {
    const single = gradualWorld(path.join(folder, 'single'));
    const expected = await refitIn(single);
    const world = chainedWorld(path.join(folder, 'again'), single);
    const { workers } = world.context;
    const runTasks = async (tasks: readonly TaskSpec[], options?: RunOptions) => {
      for (const task of tasks) {
        if (!task.request.refit?.next) continue;
        const tensors = single.tasks.filter(({ request }) => request.refit).flatMap((own) => single.answer(own));
        const named = tensors.map((tensor, i) =>
          i < 3 ? tensor : { ...tensor, name: `${Math.floor(i / 3)}.${tensor.name}` },
        );
        // A try that ends after its second refit.
        await assert.rejects(received(task, named.slice(0, 6)), { code: 'protocol' });
      }
      return workers.runTasks(tasks, options);
    };
    const again = { ...world, context: { ...world.context, workers: { ...workers, runTasks } } };
    assert.deepEqual(await refitIn(again, ALL), expected);
  }));

test('tensors of another order, type or number are refused; what storing fails with is what the refit fails with', () =>
  inFolder(async (folder) => {
    const single = gradualWorld(path.join(folder, 'single'));
    await refitIn(single);
    const changes: ((tensors: NamedTensor[]) => NamedTensor[])[] = [
      (tensors) => tensors.slice(0, -3),
      (tensors) => tensors.toSpliced(0, 2, tensors[1], tensors[0]),
      (tensors) => tensors.map((tensor) => (tensor.name === '1.bias' ? { ...tensor, dtype: 'F64' } : tensor)),
      (tensors) =>
        tensors.map((tensor) =>
          tensor.name === '1.bias' ? { ...tensor, shape: [1], data: new Float32Array(1) } : tensor,
        ),
      (tensors) => [...tensors, { ...tensors[0], name: '4.weight' }],
    ];
    for (const [i, change] of changes.entries()) {
      const world = chainedWorld(path.join(folder, `${i}`), single, change);
      await assert.rejects(refitIn(world, ALL), { code: 'protocol' }, `${i}`);
    }
    const full = chainedWorld(path.join(folder, 'full'), single);
    const store = async () => {
      throw new EspalierError('disk_full', 'no space is left');
    };
    await assert.rejects(refitIn(full, ALL, store), { code: 'disk_full' });
  }));

test('pace: one at first, then as many as two seconds have room for', () => {
  const pace = measuredPace();
  assert.equal(pace.most, 1);
  pace.took(800, 1);
  assert.equal(pace.most, 2);
  pace.took(100, 4);
  assert.equal(pace.most, 80);
  pace.took(5_000, 1);
  assert.equal(pace.most, 1);
});
