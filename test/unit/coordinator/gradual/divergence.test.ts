// The stage "divergence": means by task over the held-out samples, the dense model's outputs once a job, an alarm that stops
// nothing.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { maskedStudent } from '../../../../coordinator/job/student.ts';
import {
  DenseOutputs,
  meanDivergence,
  storedDivergence,
  tellOfLarge,
} from '../../../../coordinator/stages/gradual/divergence.ts';
import { softmaxDivergence } from '../../../../pruning/divergence.ts';
import { denseMasks } from '../../../../pruning/masks.ts';
import { type Answer, gradualWorld } from '../../../support/gradual-world.ts';

const STUDENT = maskedStudent(denseMasks(2, 2, 6));
const near = (got: number, expected: number) => assert.ok(Math.abs(got - expected) < 1e-12, `${got} for ${expected}`);
const f32 = (...values: number[]) => Float32Array.of(...values);

test('by task: samples, tokens, start and end, squares', () => {
  const [dense, pruned] = [
    [f32(1, 2, 3), f32(0, 0, 1)],
    [f32(1, 0, 3), f32(0, 4, 1)],
  ];
  const kl = (at: number) => softmaxDivergence(dense[at], pruned[at]);
  const single = { task: 'single-label-classification', outputs: 3 } as const;
  near(meanDivergence(dense, pruned, single), (kl(0) + kl(1)) / 2);
  assert.equal(meanDivergence(dense, dense, single), 0);
  near(meanDivergence([f32(1), f32(2)], [f32(3), f32(2)], { task: 'regression', outputs: 1 }), 2);

  // Three tokens of two outputs each.
  const [a, b] = [f32(1, 6, 2, 5, 3, 4), f32(0, 6, 0, 5, 1, 1)];
  const byOutput = (output: number) =>
    softmaxDivergence([a[output], a[output + 2], a[output + 4]], [b[output], b[output + 2], b[output + 4]]);
  near(meanDivergence([a], [b], { task: 'question-answering', outputs: 2 }), (byOutput(0) + byOutput(1)) / 2);
  const byToken = (token: number) =>
    softmaxDivergence(a.slice(2 * token, 2 * token + 2), b.slice(2 * token, 2 * token + 2));
  near(
    meanDivergence([a], [b], { task: 'token-classification', outputs: 2 }),
    (byToken(0) + byToken(1) + byToken(2)) / 3,
  );
  const huge = { code: 'not_finite', message: 'divergence: got Infinity of 1 samples, expected a finite number' };
  assert.throws(
    () =>
      meanDivergence(
        [f32(3e38)],
        [f32(-3e38)].map(() => f32(Number.NEGATIVE_INFINITY)),
        { task: 'regression', outputs: 1 },
      ),
    huge,
  );
});

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-divergence-'));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Logits of the dense model are 0; a student's first one is this. */
const logit =
  (value: number) =>
  (task: Parameters<Answer>[0], answer: Answer): ReturnType<Answer> =>
    answer(task).map((own) => {
      const data = new Float32Array(own.data.length);
      if (task.request.evaluate!.student) for (let at = 0; at < data.length; at += 3) data[at] = value;
      return { ...own, data };
    });

test('of TF32 products, which both models have', () =>
  inFolder(async (folder) => {
    const asked = new Set<string>();
    const world = gradualWorld(folder, {
      answers(task, answer) {
        const { student, precision } = task.request.evaluate!;
        asked.add(`${student === null ? 'dense' : 'student'} ${precision}`);
        return answer(task);
      },
    });
    await storedDivergence(world.context, new DenseOutputs(world.context), STUDENT, {
      step: '0.5',
      name: 'divergence',
    });
    assert.deepEqual([...asked], ['dense tf32', 'student tf32']);
  }));

test('held-out shards alone, the dense model once; stored, and not asked for again', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder, { answers: logit(1) });
    const { plan } = world.context.calibration;
    const dense = new DenseOutputs(world.context);
    const held = Array.from(
      { length: plan.shards.length - plan.fitShards },
      (_, i) => `evaluate/${plan.fitShards + i}`,
    );
    const at = (step: string) =>
      storedDivergence(world.context, dense, STUDENT, { step, name: `plan/${step}/divergence` });
    const { value } = await at('0.8');
    near(value!, softmaxDivergence([0, 0, 0], [1, 0, 0]));
    assert.deepEqual(world.sent, [...held, ...held]);
    await at('0.5');
    assert.deepEqual(world.sent, [...held, ...held, ...held]);
    assert.equal((await at('0.5')).value, value);
    assert.equal(world.sent.length, 3 * held.length);
    const finished = world.events.filter(({ kind }) => kind === 'stage-finished');
    assert.deepEqual(
      finished.map((event) => 'note' in event && event.note),
      new Array(3).fill(`${value!.toFixed(4)} from the dense model`),
    );
    for (const small of [value, 0.15, null]) tellOfLarge(world.context, '0.5', small);
    assert.ok(!world.events.some(({ kind }) => kind === 'notice'));
  }));

test('an outcome far from the dense model is told of', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder, { answers: logit(3) });
    const dense = new DenseOutputs(world.context);
    const { value } = await storedDivergence(world.context, dense, STUDENT, { step: '0.2', name: 'divergence' });
    assert.ok(value! > 0.15);
    tellOfLarge(world.context, '0.2', value);
    const [notice] = world.events.filter(({ kind }) => kind === 'notice');
    assert.equal(
      'text' in notice && notice.text,
      `0.2: outputs diverge by ${value!.toFixed(3)} from the dense model's on held-out samples; ` +
        'models beyond 0.15 have lost much of their quality',
    );
  }));

test('of a plan that holds nothing out there is none', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder, { lengths: [4] });
    assert.equal(world.context.calibration.plan.shards.length, 1);
    const dense = new DenseOutputs(world.context);
    const found = await storedDivergence(world.context, dense, STUDENT, { step: '0.5', name: 'divergence' });
    assert.deepEqual(found, { value: null, seconds: 0 });
    assert.equal(world.sent.length, 0);
  }));
