// A trajectory over made-up workers: the steps to each share, what they share, and that no share depends on which others were
// asked for, in which order, by how many workers or in how many runs.
import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { WritesBehind } from '../../../../coordinator/job/writes-behind.ts';
import type { TaskSpec } from '../../../../coordinator/workers/task-spec.ts';
import { pathTo } from '../../../../pruning/grid.ts';
import { walkOrder } from '../../../../pruning/smallest-share.ts';
import { EspalierError } from '../../../../shared/errors.ts';
import type { GradualWorld } from '../../../support/gradual-world.ts';
import { resultOf, type TrajectoryOptions, trajectoryWorlds } from '../../../support/trajectory-world.ts';

const { at, open } = trajectoryWorlds('trajectory');

const kinds = ({ sent }: GradualWorld) => {
  const counts: Record<string, number> = {};
  for (const id of sent) counts[id.split('/')[0]] = (counts[id.split('/')[0]] ?? 0) + 1;
  return counts;
};

test('steps along the grid: within each share, nothing taken back, a head of each layer kept', async () => {
  const { trajectory, totalMacs, context } = open();
  const { steps, patches, masks } = await trajectory.prune(0.3);
  assert.deepEqual(
    steps!.map(({ share }) => share),
    [0.8, 0.65, 0.5, 0.4, 0.35, 0.3],
  );
  for (const [i, step] of steps!.entries()) {
    assert.ok(step.macs <= step.share * totalMacs && step.macs > (step.share - 0.05) * totalMacs, `${step.share}`);
    assert.ok(step.heads.every((heads) => heads > 0));
    assert.ok(step.divergence !== null && step.divergence > 0);
    assert.equal(step.refits.length, 4);
    if (i > 0) assert.ok(step.macs < steps![i - 1].macs);
  }
  assert.equal(patches.length, 4);
  assert.ok([...masks.headScales, ...masks.neuronScales].every((scale) => scale === 1));
  const shards = context.calibration.plan.shards.length;
  assert.ok(shards > 8);
});

test('a share is the same alone and with others, in any order, with several workers, and in another run', async () => {
  const shares = [0.3, 0.45, 0.9, 0.5];
  const alone = new Map<number, ReturnType<typeof resultOf>>();
  for (const share of shares) alone.set(share, resultOf(await open().trajectory.prune(share)));
  for (const order of [shares, [...shares].reverse(), [0.5, 0.45, 0.3, 0.9]])
    for (const workers of [1, 3]) {
      const { trajectory } = open({ workers });
      for (const share of order)
        assert.deepEqual(resultOf(await trajectory.prune(share)), alone.get(share), `${share}`);
    }
});

test('gradients of the next step come right behind the outputs that judge this one; told and timed one after the other', async () => {
  const world = open();
  await world.trajectory.prune(0.5);
  const order = world.sent.map((id) => id.split('/')[0]).filter((kind, i, all) => kind !== all[i - 1]);
  const step = ['refit', 'evaluate'];
  assert.deepEqual(order, ['gradients', ...step, 'gradients', ...step, 'gradients', ...step]);
  const stages = world.events.flatMap((event) =>
    event.kind === 'stage-progress' || !('stage' in event) ? [] : [event],
  );
  const running: string[] = [];
  for (const { kind, stage, budget } of stages) {
    if (kind === 'stage-started') running.push(`${stage} ${budget}`);
    else assert.equal(running.pop(), `${stage} ${budget}`);
    assert.ok(running.length <= 1, `${running}`);
  }
});

test('stored behind: the same, every stage in its order, and none is told to have ended before it is stored', async () => {
  const expected = resultOf(await open().trajectory.prune(0.5));
  const behind = new WritesBehind();
  const { trajectory, context, events } = open({ behind });
  const written: string[] = [];
  let ended = 0;
  const { writeTensors, writeJson } = context.home;
  const slowly = async (name: string, write: () => Promise<void>) => {
    // JSON beside tensors is theirs.
    if (name.endsWith('.tensors')) return write();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const told = events.filter(({ kind }) => kind === 'stage-finished').length;
    if (!name.includes('/refit-')) assert.equal(told, ended++, name);
    await write();
    written.push(name.replace(/-\d+$/, ''));
    if (name.endsWith('/refit-0')) ended = told + 1;
  };
  Object.assign(context.home, {
    writeTensors: (...args: Parameters<typeof writeTensors>) =>
      slowly(args[0], () => writeTensors.apply(context.home, args)),
    writeJson: (...args: Parameters<typeof writeJson>) => slowly(args[0], () => writeJson.apply(context.home, args)),
  });
  assert.deepEqual(resultOf(await trajectory.prune(0.5)), expected);
  await behind.settled();
  const stages = (share: number) =>
    ['masks', 'refit', 'divergence'].map((stage) => `plan/gradual-macs/${share}/${stage}`);
  assert.deepEqual(
    written.filter((name, i) => name !== written[i - 1]),
    [
      ...['plan/gradual/gradients', ...stages(0.8), 'plan/gradual-macs/0.8/gradients'],
      ...[...stages(0.65), 'plan/gradual-macs/0.65/gradients', ...stages(0.5)],
    ],
  );
});

test('what storing behind fails with is what the job fails with; nothing is stored after it, and who goes on finds the same', async () => {
  const expected = resultOf(await open().trajectory.prune(0.5));
  for (const name of ['0.8/masks', '0.8/refit-0', '0.8/divergence', '0.65/masks']) {
    const home = at(`full-${name.replace('/', '-')}`);
    const behind = new WritesBehind();
    const { trajectory, context } = open({ at: home, behind });
    const { writeTensors, writeJson } = context.home;
    let isFull = false;
    const unlessFull = async (own: string, write: () => Promise<void>) => {
      assert.ok(!isFull, `${own} after ${name}`);
      isFull = own.endsWith(name);
      if (isFull) throw new EspalierError('disk_full', 'no space is left');
      await write();
    };
    Object.assign(context.home, {
      writeTensors: (...args: Parameters<typeof writeTensors>) =>
        unlessFull(args[0], () => writeTensors.apply(context.home, args)),
      writeJson: (...args: Parameters<typeof writeJson>) =>
        unlessFull(args[0], () => writeJson.apply(context.home, args)),
    });
    const pruned = trajectory.prune(0.5).then(() => behind.settled());
    await assert.rejects(pruned, { code: 'disk_full' }, name);
    await behind.settled().catch(() => {});
    assert.deepEqual(resultOf(await open({ at: home }).trajectory.prune(0.5)), expected, name);
  }
});

test('what is on the way is made once, for branches and budgets alike', async () => {
  const world = open();
  const { context, trajectory } = world;
  const { shards, fitShards } = context.calibration.plan;
  const held = shards.length - fitShards;
  await trajectory.prune(0.5);
  assert.deepEqual(kinds(world), { gradients: 3 * shards.length, refit: 3 * 4, evaluate: 4 * held });
  await trajectory.prune(0.45);
  // Gradients of the student at 0.5, which the trunk goes on from as well.
  assert.deepEqual(kinds(world), { gradients: 4 * shards.length, refit: 4 * 4, evaluate: 5 * held });
  await trajectory.prune(0.4);
  await trajectory.prune(0.42);
  assert.deepEqual(kinds(world), { gradients: 4 * shards.length, refit: 6 * 4, evaluate: 7 * held });
  await trajectory.prune(0.45);
  assert.deepEqual(kinds(world), { gradients: 4 * shards.length, refit: 6 * 4, evaluate: 7 * held });
});

test('a walk that ends at a share asks for nothing below it, and for what lies between a refit each', async () => {
  const world = open();
  const { shards, fitShards } = world.context.calibration.plan;
  const held = shards.length - fitShards;
  const order = walkOrder(pathTo(0.1).trunk);
  const passed = new Map<number, boolean>();
  for (let share = order.next(passed); share !== null; share = order.next(passed)) {
    await world.trajectory.prune(share);
    passed.set(share, share >= 0.46);
  }
  assert.deepEqual([...passed.keys()], [0.8, 0.65, 0.5, 0.4, 0.45, 0.47]);
  // Gradients of the dense model and at 0.8, 0.65 and 0.5; outputs of the dense model once.
  assert.deepEqual(kinds(world), { gradients: 4 * shards.length, refit: 6 * 4, evaluate: 7 * held });
});

test('one step: every share from the dense model, whose gradients all of them share', async () => {
  const world = open({ gradual: { steps: 'one' } });
  const { shards } = world.context.calibration.plan;
  const found = await world.trajectory.prune(0.3);
  assert.deepEqual(
    found.steps!.map(({ share }) => share),
    [0.3],
  );
  assert.ok(found.macs <= 0.3 * world.totalMacs);
  const other = await world.trajectory.prune(0.5);
  assert.equal(kinds(world).gradients, shards.length);
  assert.equal(kinds(world).refit, 2 * 4);
  const alone = open({ gradual: { steps: 'one' } });
  assert.deepEqual(resultOf(await alone.trajectory.prune(0.5)), resultOf(other));
});

test('scales: tuned anew in each step to the dense model, no patches; the next step asks gradients of the scaled student', async () => {
  const world = open({ gradual: { refit: 'scales' } });
  const found = await world.trajectory.prune(0.65);
  const { shards } = world.context.calibration.plan;
  assert.deepEqual(found.patches, []);
  // Layer 0's attention is left as it is.
  assert.deepEqual(
    found.steps!.map(({ refits }) => refits.map(({ layer, subLayer }) => `${layer}.${subLayer}`)),
    Array.from({ length: 2 }, () => ['0.ffn', '1.attention', '1.ffn']),
  );
  assert.equal(kinds(world).refit, undefined);
  const { headMask, headScales, neuronMask, neuronScales } = found.masks;
  for (const [at, kept] of neuronMask.entries()) assert.equal(neuronScales[at] !== 1, kept === 1);
  for (const [at, kept] of headMask.entries())
    assert.equal(headScales[at] !== 1, kept === 1 && at >= found.masks.heads);
  const scalesOf = (task: TaskSpec) => {
    const { student } = task.request.gradients ?? task.request.solve ?? {};
    return Buffer.from(student!.neuronScales as Uint8Array).length;
  };
  const first = (start: string) => world.tasks.findIndex(({ id }) => id.startsWith(start));
  const second = world.tasks.slice(shards.length).filter(({ id }) => id.startsWith('gradients'));
  assert.equal(second.length, shards.length);
  for (const task of second) assert.ok(scalesOf(task) > 0);
  const solves = world.tasks.filter(({ id }) => id === 'solve/0.ffn');
  assert.deepEqual(solves.map(scalesOf), [0, 0], 'scales of the step before are forgotten');
  for (const { request } of world.tasks.filter((task) => task.request.solve)) {
    const { teacher } = request.solve!;
    assert.ok(
      [teacher!.headMask, teacher!.neuronMask].every((mask) =>
        Buffer.from(mask as Uint8Array).every((bit) => bit === 1),
      ),
    );
  }
  assert.ok(first('solve') > first('gradients'));
});

test('scales: ended in mid-tuning and gone on with, the same', async () => {
  const gradual = { refit: 'scales' } as const;
  const whole = open({ gradual });
  const expected = resultOf(await whole.trajectory.prune(0.65));
  const home = at('mid-tuning');
  let reached = 0;
  const answers: TrajectoryOptions['answers'] = (task, answer) => {
    if (task.id === 'solve/1.ffn' && ++reached === 2) throw new EspalierError('no_workers', 'no worker is left');
    return answer(task);
  };
  await assert.rejects(open({ at: home, gradual, answers }).trajectory.prune(0.65), { code: 'no_workers' });
  const again = open({ at: home, gradual });
  assert.deepEqual(resultOf(await again.trajectory.prune(0.65)), expected);
  const solves = again.sent.filter((id) => id.startsWith('solve'));
  assert.ok(solves.length >= 1 && solves.length < 3, `${solves}`);
  assert.equal(kinds(again).gradients, undefined);
});

test('masks of a share are those that its student ends with, and refit nothing of that step', async () => {
  const world = open();
  const masks = await world.trajectory.masks(0.6);
  assert.equal(kinds(world).refit, 2 * 4);
  assert.deepEqual((await world.trajectory.prune(0.6)).masks, masks);
});

test('who goes on with everything there asks workers for nothing', async () => {
  const home = at('finished');
  const first = resultOf(await open({ at: home }).trajectory.prune(0.45));
  await rm(path.join(home, 'scratch'), { recursive: true });
  const again = open({ at: home });
  assert.deepEqual(resultOf(await again.trajectory.prune(0.45)), first);
  assert.deepEqual(again.sent, []);
  assert.ok(again.events.every((event) => event.kind === 'stage-finished' && event.reused));
});

test('ended anywhere and gone on with: the same, and finished steps are not asked for again', async () => {
  const whole = open();
  const expected = resultOf(await whole.trajectory.prune(0.6));
  const { length } = whole.sent;
  for (let end = 1; end < length; end += 7) {
    const home = at(`ended-${end}`);
    let sent = 0;
    const answers: TrajectoryOptions['answers'] = (task, answer) => {
      if (sent++ === end) throw new EspalierError('no_workers', 'no worker is left');
      return answer(task);
    };
    await assert.rejects(open({ at: home, answers }).trajectory.prune(0.6), { code: 'no_workers' });
    await rm(path.join(home, 'scratch'), { recursive: true, force: true });
    const again = open({ at: home });
    assert.deepEqual(resultOf(await again.trajectory.prune(0.6)), expected, `ended at ${whole.sent[end]}`);
    const refits = (ids: readonly string[]) => ids.filter((id) => id.startsWith('refit/')).length;
    const wholeSteps = Math.floor(refits(whole.sent.slice(0, end)) / 4);
    assert.ok(refits(again.sent) <= 4 * (expected.steps.length - wholeSteps), `ended at ${whole.sent[end]}`);
  }
});

test('by share: down to 0.3 the students of weights, below it inputs, too, and every step as its share has it', async () => {
  const byShare = { refit: 'by-share' } as const;
  const partsOf = (ids: readonly string[]) =>
    ids.filter((id) => /^refit\/.*\.(input|query|key_value)$/.test(id)).length;
  const [own, weights] = [open({ gradual: byShare }), open()];
  for (const share of [0.3, 0.31, 0.45])
    assert.deepEqual(resultOf(await own.trajectory.prune(share)), resultOf(await weights.trajectory.prune(share)));
  assert.deepEqual(own.sent, weights.sent);
  assert.equal(partsOf(own.sent), 0);
  // Of both FFNs, and in the last layer queries apart from keys and values.
  const [least, before] = [await own.trajectory.prune(0.29), await weights.trajectory.prune(0.29)];
  assert.equal(partsOf(own.sent), 4);
  assert.equal(partsOf(weights.sent), 0);
  assert.deepEqual(least.masks, before.masks);
  assert.deepEqual(resultOf(least).steps.slice(0, -1), resultOf(before).steps.slice(0, -1));
  assert.deepEqual(least.patches.map(({ layer, subLayer, part }) => `${layer} ${subLayer} ${part}`).sort(), [
    '0 attention output',
    '0 ffn input',
    '0 ffn output',
    '1 attention input',
    '1 attention output',
    '1 ffn input',
    '1 ffn output',
  ]);
  // Of one step the share decides as well.
  const once = open({ gradual: { ...byShare, steps: 'one' } });
  const all = open({ gradual: { steps: 'one', refit: 'all-weights' } });
  assert.deepEqual(resultOf(await once.trajectory.prune(0.2)), resultOf(await all.trajectory.prune(0.2)));
});

test('by share, ended in the midst: every step goes on with what it fits itself', async () => {
  const gradual = { refit: 'by-share' } as const;
  const expected = resultOf(await open({ gradual }).trajectory.prune(0.25));
  for (const last of ['refit/1.ffn', 'refit/0.ffn.input', 'refit/1.attention.key_value', 'refit/1.attention']) {
    const home = at(`by-share-${last.replaceAll('/', '-')}`);
    // Of the step to 0.25, whose refits begin when those of the six before have ended.
    let outputs = 0;
    const answers: TrajectoryOptions['answers'] = (task, answer) => {
      if (task.id === 'refit/0.attention') outputs += 1;
      if (outputs === 7 && task.id === last) throw new EspalierError('no_workers', 'no worker is left');
      return answer(task);
    };
    await assert.rejects(open({ at: home, gradual, answers }).trajectory.prune(0.25), { code: 'no_workers' });
    await rm(path.join(home, 'scratch'), { recursive: true, force: true });
    const again = open({ at: home, gradual });
    assert.deepEqual(resultOf(await again.trajectory.prune(0.25)), expected, last);
    // What was found within a fifth of a second of the last storing is found again, of that step alone.
    assert.ok(again.sent.filter((id) => id.startsWith('refit/')).length <= 7, last);
  }
});

test('ended in the midst of a refit: gradients once more, then the sub-layers that are missing', async () => {
  const home = at('midst');
  const { shards } = open().context.calibration.plan;
  let reached = 0;
  const answers: TrajectoryOptions['answers'] = (task, answer) => {
    // The last sub-layer but one of the second step.
    if (task.id === 'refit/1.attention' && ++reached === 2) throw new EspalierError('no_workers', 'no worker is left');
    return answer(task);
  };
  await assert.rejects(open({ at: home, answers }).trajectory.prune(0.65), { code: 'no_workers' });
  const again = open({ at: home });
  await again.trajectory.prune(0.65);
  const refits = again.sent.filter((id) => id.startsWith('refit'));
  // What was found within a fifth of a second of the last storing is found again.
  assert.deepEqual(
    refits,
    ['refit/0.attention', 'refit/0.ffn', 'refit/1.attention', 'refit/1.ffn'].slice(-refits.length),
  );
  assert.ok(refits.length >= 2 && refits.length < 4, `${refits}`);
  assert.equal(kinds(again).gradients, shards.length);
});
