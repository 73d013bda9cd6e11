// Heads and neurons divided by divergence, over made-up workers: of several numbers of heads the one whose student ends closest to
// the dense model's outputs; the same by any number of workers and in any number of runs.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { splitProblem } from '../../../../coordinator/job/split-problem.ts';
import { closestOf, type TriedStudent } from '../../../../coordinator/stages/gradual/tried-student.ts';
import { EspalierError } from '../../../../shared/errors.ts';
import { resultOf, type TrajectoryOptions, trajectoryWorlds } from '../../../support/trajectory-world.ts';

const worlds = trajectoryWorlds('split');
const open = (options: TrajectoryOptions = {}) => worlds.open({ gradual: { split: 'divergence' }, ...options });
const BY_IMPORTANCE = { gradual: {} };

const sum = (counts: readonly number[]) => counts.reduce((a, b) => a + b, 0);

test('each step keeps the number of heads of the least divergence, and tells of all', async () => {
  const world = open();
  const { steps } = await world.trajectory.prune(0.4);
  let others = 0;
  for (const { splits, divergence, heads, share, macs } of steps!) {
    assert.ok(splits!.length >= 1 && splits!.length <= 5, `${share}`);
    assert.equal(new Set(splits!.map((split) => split.heads)).size, splits!.length);
    const least = Math.min(...splits!.map((split) => split.divergence));
    const best = splits!.findIndex((split) => split.divergence === least);
    assert.equal(divergence, least);
    assert.equal(sum(heads), splits![best].heads, `${share}`);
    assert.ok(macs <= share * world.totalMacs);
    if (best > 0) others++;
  }
  assert.ok(others > 0, 'importance did not decide everywhere');
  const refits = world.sent.filter((id) => id === 'refit/0.ffn').length;
  assert.equal(refits, sum(steps!.map(({ splits }) => splits!.length)));
  // Where importance decides, the first step's masks are those that are tried first here.
  const byImportance = await open(BY_IMPORTANCE).trajectory.prune(0.8);
  assert.equal(byImportance.steps![0].splits, undefined);
  assert.equal(sum(byImportance.heads), steps![0].splits![0].heads);
});

test('the same alone and with others, with several workers, and ended anywhere; what is there is not asked for again', async () => {
  const whole = open();
  const expected = resultOf(await whole.trajectory.prune(0.6));
  const several = open({ workers: 3 });
  await several.trajectory.prune(0.5);
  assert.deepEqual(resultOf(await several.trajectory.prune(0.6)), expected);
  for (let end = 12; end < whole.sent.length; end += 61) {
    const at = worlds.at(`ended-${end}`);
    let sent = 0;
    const answers: TrajectoryOptions['answers'] = (task, answer) => {
      if (sent++ === end) throw new EspalierError('no_workers', 'no worker is left');
      return answer(task);
    };
    await assert.rejects(open({ at, answers }).trajectory.prune(0.6), { code: 'no_workers' });
    await rm(path.join(at, 'scratch'), { recursive: true, force: true });
    assert.deepEqual(resultOf(await open({ at }).trajectory.prune(0.6)), expected, `ended at ${whole.sent[end]}`);
    const again = open({ at });
    assert.deepEqual(resultOf(await again.trajectory.prune(0.6)), expected);
    assert.deepEqual(again.sent, []);
  }
});

test('of equal divergence the most important; where nothing judges, importance alone', async () => {
  const zeros: TrajectoryOptions['answers'] = (task, answer) =>
    answer(task).map((own) => (own.name === 'logits' ? { ...own, data: new Float32Array(own.data.length) } : own));
  const tied = await open({ answers: zeros }).trajectory.prune(0.5);
  for (const { splits, heads } of tied.steps!) assert.equal(sum(heads), splits![0].heads);
  const byImportance = await open(BY_IMPORTANCE).trajectory.prune(0.5);
  assert.deepEqual(tied.masks, byImportance.masks);
  const unjudged = open({ lengths: [4] });
  const { steps } = await unjudged.trajectory.prune(0.5);
  assert.ok(steps!.every(({ splits, divergence }) => splits === undefined && divergence === null));

  const student = (value: number) => ({ divergence: { value, seconds: 0 } }) as unknown as TriedStudent;
  const tried = [2, 1, 3, 1].map(student);
  assert.equal(closestOf(tried), tried[1]);
  assert.equal(closestOf(tried.slice(0, 1)), tried[0]);
});

test('goes with the search of the paper and budgets of MACs alone', () => {
  const asked = { search: 'paper', budgets: [{ text: '0.5', value: 0.5 }], gradual: { split: 'divergence' } } as const;
  assert.equal(splitProblem(asked), null);
  const drop = { text: 'max-drop-0.01', value: 0.01, kind: 'max-drop' } as const;
  assert.equal(splitProblem({ ...asked, budgets: [drop] }), null);
  assert.equal(
    splitProblem({ ...asked, search: 'knapsack' }),
    "got divergence with the search knapsack, expected the paper's, or the split importance",
  );
  const ofTime = 'got divergence with a budget of time, expected budgets of MACs, or the split importance';
  const latency = { text: 'latency-0.5', value: 0.5, kind: 'latency' } as const;
  assert.equal(splitProblem({ ...asked, budgets: [...asked.budgets, latency] }), ofTime);
  assert.equal(splitProblem({ ...asked, budgets: [drop], fastest: true }), ofTime);
  assert.equal(splitProblem({ ...asked, search: 'uniform', gradual: {} }), null);
});
