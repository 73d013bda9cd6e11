// The stage "refit": every sub-layer on the student that the ones before have made, with one worker or several; answers are
// checked, and whoever goes on asks for what is missing alone.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { gradualSettings } from '../../../../coordinator/gradual-settings.ts';
import { readPatches } from '../../../../coordinator/job/read-patches.ts';
import { maskedStudent } from '../../../../coordinator/job/student.ts';
import { storedGradients } from '../../../../coordinator/stages/gradual/gradients.ts';
import { type RefittedPatch, runRefit, withRefitted } from '../../../../coordinator/stages/gradual/refit.ts';
import { readRefit, storeRefit } from '../../../../coordinator/stages/gradual/refit-state.ts';
import { stepSettings } from '../../../../coordinator/step-settings.ts';
import type { TaskSpec } from '../../../../coordinator/workers/task-spec.ts';
import { foldCut, foldTree, type ShardSpan } from '../../../../pruning/fold-tree.ts';
import { denseMasks } from '../../../../pruning/masks.ts';
import type { BlobSource } from '../../../../shared/blobs/blob-source.ts';
import { decodeSafetensors } from '../../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../../shared/tensor.ts';
import {
  type Answer,
  type GradualWorld,
  gradualWorld,
  inFolder,
  prunedStudent,
} from '../../../support/gradual-world.ts';

const WEIGHTS = stepSettings(gradualSettings(undefined), 0.5);
const ORDER = ['0.attention', '0.ffn', '1.attention', '1.ffn'];

async function refitIn(
  world: GradualWorld,
  resumed: readonly RefittedPatch[] = [],
  settings: Parameters<typeof runRefit>[1]['settings'] = WEIGHTS,
) {
  const { context } = world;
  const gradients = await storedGradients(context, maskedStudent(denseMasks(2, 2, 6)), { name: 'gradients' });
  const stored: number[] = [];
  const told: number[] = [];
  const refitted = await runRefit(
    context,
    { student: prunedStudent(), gradients, resumed, settings },
    { store: async (found) => void stored.push(found.length), progress: (done) => told.push(done) },
  );
  return { refitted, stored, told, gradients };
}

const patchesOf = (refitted: readonly RefittedPatch[]) => refitted.flatMap(({ patch }) => patch ?? []);
const digestsOf = (refitted: readonly RefittedPatch[]) => patchesOf(refitted).map(({ source }) => source.digest);
const ofRefits = ({ sent }: GradualWorld) => sent.filter((id) => id.startsWith('refit'));

/** What a worker folds: 1 / (shard + 1) of each, which every order of adding rounds in another way. */
const foldedValue = ({ first, end }: ShardSpan) =>
  foldTree(
    first,
    end,
    (shard) => 1 / (shard + 1),
    (a, b) => a + b,
  );

async function targetSquares(blob: BlobSource): Promise<number> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of blob.open()) chunks.push(chunk);
  return Number(decodeSafetensors(Buffer.concat(chunks), 'sums').tensors.get('target_squares')!.data[0]);
}

/** Blobs of sums that went with refits. */
function sumDigests({ tasks }: GradualWorld): Set<string> {
  const sources = tasks.flatMap(({ request: { refit } }) => (refit ? [refit.fit, refit.heldOut] : []));
  const blobs = sources.flatMap((source) => [source?.sums, ...(source?.nodes?.nodes ?? []).map(({ sums }) => sums)]);
  return new Set(blobs.flatMap((blob) => (blob?.digest ? [blob.digest] : [])));
}

test('one worker: a task a sub-layer, each with the patches before it and the token gradients of all shards', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder);
    const { refitted, told, stored, gradients } = await refitIn(world);
    const { plan } = world.context.calibration;
    assert.deepEqual(
      ofRefits(world),
      ORDER.map((at) => `refit/${at}`),
    );
    assert.deepEqual(told.at(-1), 4);
    assert.deepEqual(stored.at(-1), 4);
    const tokens = await gradients.tokens();
    for (const [step, task] of world.tasks.filter(({ request }) => request.refit).entries()) {
      const { fit, heldOut, student, weights, settingsJson } = task.request.refit!;
      assert.deepEqual(fit, { shards: { first: 0, end: plan.fitShards } });
      assert.deepEqual(heldOut, { shards: { first: plan.fitShards, end: plan.shards.length } });
      assert.deepEqual(
        student!.patches!.map(({ blob }) => blob!.digest),
        digestsOf(refitted.slice(0, step)),
      );
      assert.equal(weights!.mean, gradients.means[step]);
      assert.deepEqual(
        weights!.gradients!.map(({ shards, blob }) => [shards, blob!.digest]),
        tokens.map(({ shards, source }) => [shards, source.digest]),
      );
      assert.deepEqual(JSON.parse(settingsJson!), { lambdas: [0.001, 0.01, 0.1, 1] });
      const sent = new Set(task.blobs.map(({ digest }) => digest));
      for (const digest of [...digestsOf(refitted.slice(0, step)), ...tokens.map(({ source }) => source.digest)])
        assert.ok(sent.has(digest), 'every blob that is named goes with the task');
    }
    const patches = await readPatches(patchesOf(refitted), world.context.checkpoint.config);
    assert.deepEqual(
      patches.map(({ kept, weight, bias }) => [[...kept], weight.length, bias.length]),
      [
        [[0], 4 * 8, 8],
        [[0, 1, 2, 3, 4, 5], 6 * 8, 8],
        [[0, 1], 8 * 8, 8],
        [[], 0, 8],
      ],
    );
    assert.deepEqual(
      refitted
        .flatMap(({ reports }) => reports)
        .map((report) => [report.kept, report.rung, report.heldOutBefore, report.heldOutAfter]),
      [1, 6, 2, 0].map((kept) => [kept, 'ridge 0.01', 2, 1]),
    );
  }));

test('positions that all count alike: no token gradients go anywhere, with one worker or several', () =>
  inFolder(async (folder) => {
    const settings = { ...WEIGHTS, positionWeights: 'equal' } as const;
    const worlds = [1, 3].map((workers) => gradualWorld(path.join(folder, `${workers}`), { workers }));
    for (const world of worlds) {
      await refitIn(world, [], settings);
      const asked = world.tasks.flatMap(({ request: { refit, refitEquations } }) => refit ?? refitEquations ?? []);
      assert.ok(asked.length >= 4);
      for (const { weights } of asked) assert.equal(weights, null);
    }
  }));

test('several workers: sums of nodes, weighted by their own shards, folded in the order of the tree; the same patches', () =>
  inFolder(async (folder) => {
    const alone = await refitIn(gradualWorld(path.join(folder, 'alone')));
    const world = gradualWorld(path.join(folder, 'several'), {
      workers: 3,
      answers(task, answer) {
        const tensors = answer(task);
        const { shards } = task.request.refitEquations ?? {};
        if (!shards) return tensors;
        const value = foldedValue({ first: Number(shards.first), end: Number(shards.end) });
        return tensors.map((own) => (own.name === 'target_squares' ? { ...own, data: Float64Array.of(value) } : own));
      },
    });
    const { refitted } = await refitIn(world);
    assert.deepEqual(digestsOf(refitted), digestsOf(alone.refitted));
    const { plan } = world.context.calibration;
    const equations = world.tasks.filter(({ request }) => request.refitEquations);
    for (const { request } of equations) {
      const { shards, weights } = request.refitEquations!;
      const spans = weights!.gradients!.map((own) => own.shards!);
      assert.deepEqual([spans[0].first, spans.at(-1)!.end], [shards!.first, shards!.end]);
    }
    const ofSubLayer = equations.filter(({ id }) => id.includes('/0.ffn/'));
    assert.equal(new Set(ofSubLayer.map(({ affinity }) => affinity)).size, 3, 'a share each');
    const stayed = ofSubLayer.filter(({ request }) => request.refitEquations!.stays);
    assert.ok(stayed.length > 0 && stayed.length < ofSubLayer.length);
    for (const { request, blobs, affinity } of world.tasks.filter((task) => task.request.refit)) {
      const { fit, heldOut, weights } = request.refit!;
      for (const task of stayed) assert.equal(task.affinity, affinity, 'sums stay with the worker that solves');
      assert.deepEqual(
        weights!.gradients!.map(({ shards }) => shards!.first),
        stayed
          .flatMap(({ request: { refitEquations } }) => refitEquations!.weights!.gradients!)
          .map((own) => own.shards!.first),
        'what came is weighted already',
      );
      for (const [source, first, end] of [
        [fit, 0, plan.fitShards],
        [heldOut, plan.fitShards, plan.shards.length],
      ] as const) {
        const nodes = (source!.nodes?.nodes ?? [{ shards: { first, end }, sums: source!.sums }]).map(
          ({ shards, sums }) => ({ first: shards!.first!, end: shards!.end!, sums }),
        );
        const values: number[] = [];
        for (const { sums, ...node } of nodes) {
          const blob = blobs.find(({ digest }) => digest === sums?.digest);
          values.push(blob === undefined ? foldedValue(node) : await targetSquares(blob));
        }
        assert.equal(
          foldCut(nodes, values, (a, b) => a + b),
          foldedValue({ first, end }),
        );
      }
    }
    const folded = world.tasks.find(({ id }) => id === 'refit/0.ffn')!.blobs;
    const sent = folded.filter(({ digest }) => sumDigests(world).has(digest)).length;
    assert.ok(sent > 0 && sent <= ofSubLayer.length - stayed.length, `${sent}`);
  }));

test('a loss that depends on no output of a sub-layer weights nothing there', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder, {
      answers: (task, answer) =>
        answer(task).map((own) =>
          own.name === 'token_gradients' ? { ...own, data: (own.data as Float32Array).fill(0) } : own,
        ),
    });
    await refitIn(world);
    for (const { request } of world.tasks) if (request.refit) assert.equal(request.refit.weights, null);
  }));

test('answers of another size, that are no numbers or tell nothing are refused', () =>
  inFolder(async (folder) => {
    let folders = 0;
    const refused = async (
      workers: number,
      name: string,
      change: (data: NamedTensor['data']) => NamedTensor['data'],
      error: { code: string; message: RegExp },
    ) => {
      const world = gradualWorld(path.join(folder, `${folders++}`), {
        workers,
        answers: (task, answer) =>
          answer(task).map((own) => {
            if (own.name !== name) return own;
            const data = change(own.data);
            return { ...own, data, shape: [data.length] };
          }),
      });
      await assert.rejects(refitIn(world), error);
    };
    const text = (value: unknown) => () => new TextEncoder().encode(JSON.stringify(value));
    const ones = (count: number) => () => new Float64Array(count).fill(1);
    await refused(1, 'weight', (data) => data.slice(1), {
      code: 'protocol',
      message: /^refit\/0\.attention: weight: got F32 of 31 elements, expected F32 of 32$/,
    });
    await refused(1, 'bias', (data) => (data as Float32Array).with(3, Number.NaN), {
      code: 'not_finite',
      message: /^refit\/0\.attention: bias 3: got NaN/,
    });
    const form = { code: 'protocol', message: /^refit\/0\.attention: report: got another form, expected JSON/ };
    await refused(1, 'report', text({ rung: 'ridge 1', tried: [] }), form);
    const tried = Array.from({ length: 65 }, () => ({ rung: 'ridge 1', heldOut: 1 }));
    await refused(1, 'report', text({ rung: 'ridge 1', heldOutBefore: 1, heldOutAfter: 1, tried }), form);
    await refused(2, 'gram', (data) => data.slice(1), { code: 'protocol', message: /^gram: got F64/ });
    await refused(2, 'target_squares', ones(2), { code: 'protocol', message: /^target_squares: got F64/ });
    await refused(2, 'right', ones(48), { code: 'protocol', message: /^gram: got F64 \[15\]/ });
  }));

test('sums of another sub-layer that fit each other are refused, too', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder, {
      workers: 2,
      answers: (task, answer) =>
        answer(task).map((own) => {
          if (!task.request.refitEquations) return own;
          const length = own.name === 'gram' ? 10 : own.name === 'right' ? 32 : own.data.length;
          return { ...own, data: new Float64Array(length).fill(1), shape: [length] };
        }),
    });
    await assert.rejects(refitIn(world), {
      code: 'protocol',
      message: 'refit-equations/0.attention: got sums of 3 features, expected 4',
    });
  }));

test('who goes on in its midst asks for what is missing, and ends with the same', () =>
  inFolder(async (folder) => {
    const whole = (await refitIn(gradualWorld(path.join(folder, 'whole')))).refitted;
    for (let done = 0; done <= 4; done++) {
      const first = gradualWorld(path.join(folder, `${done}`));
      const found = (await refitIn(first)).refitted;
      // In parts, as they are stored while more is found.
      for (let part = 0; part < done; part += 2) {
        const until = Math.min(part + 2, done);
        await storeRefit(first.context, 'step/refit', { refitted: found.slice(0, until), seconds: until }, part);
      }
      const again = gradualWorld(path.join(folder, `${done}`));
      const resumed = await readRefit(again.context, 'step/refit', prunedStudent(), WEIGHTS);
      assert.equal(resumed.seconds, done);
      assert.deepEqual(
        resumed.refitted.map(({ reports }) => reports),
        whole.slice(0, done).map(({ reports }) => reports),
      );
      const { refitted } = await refitIn(again, resumed.refitted);
      assert.deepEqual(digestsOf(refitted), digestsOf(whole));
      assert.deepEqual(
        ofRefits(again),
        ORDER.slice(done).map((at) => `refit/${at}`),
      );
    }
  }));

/** As made up, but that nothing judged better in these sub-layers. */
const unchangedAt =
  (...places: readonly string[]): ((task: TaskSpec, answer: Answer) => NamedTensor[]) =>
  (task, answer) => {
    const tensors = answer(task);
    if (!places.some((place) => task.id === `refit/${place}`)) return tensors;
    const told = { rung: 'unchanged', heldOutBefore: 1, heldOutAfter: 1, tried: [{ rung: 'unchanged', heldOut: 1 }] };
    const data = new TextEncoder().encode(JSON.stringify(told));
    return tensors.map((tensor) => (tensor.name === 'report' ? { ...tensor, shape: [data.length], data } : tensor));
  };

test('what stays as it was gets no patch: the student keeps what it has, and who goes on reads that', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder, { answers: unchangedAt('0.ffn', '1.ffn') });
    const { refitted } = await refitIn(world);
    assert.deepEqual(
      refitted.map(({ patch, reports }) => [patch?.layer, patch?.subLayer, reports[0].rung].join(' ')),
      ['0 attention ridge 0.01', '  unchanged', '1 attention ridge 0.01', '  unchanged'],
    );
    const start = prunedStudent();
    const student = withRefitted(start, refitted);
    assert.deepEqual(
      student.patches.map(({ layer, subLayer }) => `${layer}.${subLayer}`),
      ['0.attention', '1.attention'],
    );
    for (const mostPartBytes of [1, 2 ** 20]) {
      await storeRefit(world.context, `${mostPartBytes}/refit`, { refitted, seconds: 1 }, 0, mostPartBytes);
      const read = await readRefit(world.context, `${mostPartBytes}/refit`, start, WEIGHTS);
      assert.deepEqual(
        read.refitted.map(({ reports }) => reports),
        refitted.map(({ reports }) => reports),
      );
      assert.deepEqual(
        read.refitted.map(({ patch }) => patch?.source.digest),
        refitted.map(({ patch }) => patch?.source.digest),
      );
    }
    // A later step leaves what an earlier one has fitted.
    const later = gradualWorld(path.join(folder, 'later'), { answers: unchangedAt(...ORDER) });
    const gradients = await storedGradients(later.context, student, { name: 'gradients' });
    const settings = WEIGHTS;
    const again = await runRefit(
      later.context,
      { student, gradients, resumed: [], settings },
      { store: async () => {} },
    );
    assert.deepEqual(withRefitted(student, again), student);
  }));

test('large patches are stored in several parts, and read back whole', () =>
  inFolder(async (folder) => {
    const { context } = gradualWorld(folder);
    const { refitted } = await refitIn(gradualWorld(folder));
    const sizes = patchesOf(refitted).map(({ source }) => source.sizeBytes);
    const written: string[] = [];
    const home = {
      writeTensors: (name: string, ...rest: [never, never]) => {
        written.push(name);
        return context.home.writeTensors(name, ...rest);
      },
    } as unknown as typeof context.home;
    // The first two fit together, the last two do not.
    const most = Math.max(sizes[0] + sizes[1], sizes[2] + sizes[3] - 1);
    assert.ok(sizes[0] + sizes[1] <= most && sizes[0] + sizes[1] + sizes[2] > most);
    await storeRefit({ ...context, home }, 'step/refit', { refitted, seconds: 1 }, 0, most);
    assert.deepEqual(written, [
      'step/refit-0',
      'step/refit-2',
      ...(sizes[2] + sizes[3] > most ? ['step/refit-3'] : []),
    ]);
    const read = await readRefit(context, 'step/refit', prunedStudent(), WEIGHTS);
    assert.deepEqual(digestsOf(read.refitted), digestsOf(refitted));
    await storeRefit({ ...context, home }, 'each/refit', { refitted, seconds: 1 }, 0, 1);
    assert.deepEqual(
      written.slice(-4),
      [0, 1, 2, 3].map((at) => `each/refit-${at}`),
      'one that is too large is a part by itself',
    );
  }));

test('what is stored of another student is not taken', () =>
  inFolder(async (folder) => {
    const { context } = gradualWorld(folder);
    const { refitted } = await refitIn(gradualWorld(folder));
    await storeRefit(context, 'step/refit', { refitted, seconds: 1 }, 0);
    const other = denseMasks(2, 2, 6);
    other.headMask[1] = 0;
    const read = await readRefit(context, 'step/refit', maskedStudent(other), WEIGHTS);
    assert.equal(read.refitted.length, 3, 'layer 1 keeps neurons here');
  }));
