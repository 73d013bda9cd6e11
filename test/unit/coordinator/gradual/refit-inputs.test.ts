// Refits of all weights: the inputs of each sub-layer before its output, patches of their own; one worker or several, gone on with
// after any of them.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { gradualSettings } from '../../../../coordinator/gradual-settings.ts';
import { readPatches } from '../../../../coordinator/job/read-patches.ts';
import { maskedStudent } from '../../../../coordinator/job/student.ts';
import { storedGradients } from '../../../../coordinator/stages/gradual/gradients.ts';
import { patchesToFit } from '../../../../coordinator/stages/gradual/patches-to-fit.ts';
import { type RefittedPatch, runRefit } from '../../../../coordinator/stages/gradual/refit.ts';
import { readRefit, storeRefit } from '../../../../coordinator/stages/gradual/refit-state.ts';
import { stepSettings } from '../../../../coordinator/step-settings.ts';
import { denseMasks } from '../../../../pruning/masks.ts';
import { type GradualWorld, gradualWorld, inFolder, prunedStudent } from '../../../support/gradual-world.ts';
import { modelConfig } from '../configs.ts';

const SETTINGS = stepSettings(gradualSettings({ refit: 'all-weights' }), 0.5);
const ORDER = [
  '0.attention',
  '0.ffn.input',
  '0.ffn',
  '1.attention.query',
  '1.attention.key_value',
  '1.attention',
  '1.ffn',
];
const PATCHES = ['0 attention output', '0 ffn input', '0 ffn output', '1 attention input', '1 attention output'];

async function refitIn({ context }: GradualWorld, resumed: readonly RefittedPatch[] = [], student = prunedStudent()) {
  const gradients = await storedGradients(context, maskedStudent(denseMasks(2, 2, 6)), { name: 'gradients' });
  return runRefit(context, { student, gradients, resumed, settings: SETTINGS }, { store: async () => {} });
}

const patchesOf = (refitted: readonly RefittedPatch[]) => refitted.flatMap(({ patch }) => patch ?? []);
const digestsOf = (refitted: readonly RefittedPatch[]) => patchesOf(refitted).map(({ source }) => source.digest);
const refitsOf = ({ sent }: GradualWorld) => sent.filter((id) => id.startsWith('refit/')).map((id) => id.slice(6));

test('what is fitted: inputs but of the embeddings, and where only first tokens ask queries by themselves', () => {
  const masks = denseMasks(2, 2, 6);
  const told = (task: Parameters<typeof modelConfig>[0]) =>
    patchesToFit(masks, modelConfig(task), SETTINGS).map(({ layer, subLayer, part, parts }) =>
      [layer, subLayer, part, ...parts].join(' '),
    );
  assert.deepEqual(told({}), [
    '0 attention output output',
    '0 ffn input input',
    '0 ffn output output',
    '1 attention input query key_value',
    '1 attention output output',
    '1 ffn input input',
    '1 ffn output output',
  ]);
  assert.equal(told({ task: 'question-answering' })[3], '1 attention input input');
  for (const refit of ['weights', 'scales'] as const)
    assert.ok(patchesToFit(masks, modelConfig(), { refit }).every(({ part }) => part === 'output'));
});

test('inputs before outputs, each on the student that the ones before have made; queries, keys and values are one patch', () =>
  inFolder(async (folder) => {
    const world = gradualWorld(folder);
    const refitted = await refitIn(world);
    assert.deepEqual(refitsOf(world), ORDER);
    assert.deepEqual(
      patchesOf(refitted).map((patch) => [patch.layer, patch.subLayer, patch.part].join(' ')),
      [...PATCHES, '1 ffn output'],
    );
    const digests = digestsOf(refitted);
    // Both parts of attention's inputs are solved on the same student.
    const before = [0, 1, 2, 3, 3, 4, 5];
    for (const [i, { request, blobs }] of world.tasks.filter((task) => task.request.refit).entries()) {
      const { student, part } = request.refit!;
      const told = student!.patches!;
      assert.deepEqual(
        told.map(({ blob }) => blob!.digest),
        digests.slice(0, before[i]),
      );
      for (const [at, patch] of told.entries()) {
        assert.equal(patch.part ?? '', refitted[at].patch?.part === 'input' ? 'input' : '');
        assert.ok(blobs.some(({ digest }) => digest === patch.blob!.digest));
      }
      assert.equal(part ?? '', ['', 'input', '', 'query', 'key_value', '', ''][i]);
    }
    const { config } = world.context.checkpoint;
    const patches = await readPatches(patchesOf(refitted), config);
    assert.deepEqual(
      patches.map(({ kept, weight, bias }) => [[...kept], weight.length / 8, bias.length]),
      [
        [[0], 4, 8],
        [[0, 1, 2, 3, 4, 5], 6, 6],
        [[0, 1, 2, 3, 4, 5], 6, 8],
        [[0, 1], 24, 24],
        [[0, 1], 8, 8],
        [[], 0, 8],
      ],
    );
    assert.deepEqual(
      refitted
        .flatMap(({ reports }) => reports)
        .map(({ layer, subLayer, part, kept }) => [layer, subLayer, part, kept]),
      [
        [0, 'attention', undefined, 1],
        [0, 'ffn', 'input', 6],
        [0, 'ffn', undefined, 6],
        [1, 'attention', 'query', 2],
        [1, 'attention', 'key_value', 2],
        [1, 'attention', undefined, 2],
        [1, 'ffn', undefined, 0],
      ],
    );
  }));

test('several workers: sums of nodes, and the same patches', () =>
  inFolder(async (folder) => {
    const alone = await refitIn(gradualWorld(path.join(folder, 'alone')));
    const world = gradualWorld(path.join(folder, 'several'), { workers: 3 });
    assert.deepEqual(digestsOf(await refitIn(world)), digestsOf(alone));
    for (const name of ORDER) {
      const asked = world.sent.filter((id) => id.startsWith(`refit-equations/${name}/`));
      assert.ok(asked.length > 1, `${name}: ${asked}`);
    }
  }));

test('inputs of another size, sums that are none', () =>
  inFolder(async (folder) => {
    const refused = async (workers: number, id: string, name: string, message: RegExp) => {
      const world = gradualWorld(path.join(folder, `${workers} ${name} ${id}`.replaceAll('/', ' ')), {
        workers,
        answers: (task, answer) =>
          answer(task).map((own) => {
            if (own.name !== name || !task.id.startsWith(id)) return own;
            const data = own.data.slice(1);
            return { ...own, data, shape: [data.length] };
          }),
      });
      await assert.rejects(refitIn(world), { code: 'protocol', message });
    };
    await refused(
      1,
      'refit/0.ffn.input',
      'bias',
      /^refit\/0\.ffn\.input: bias: got F32 of 5 elements, expected F32 of 6$/,
    );
    await refused(1, 'refit/1.attention.key', 'weight', /: got F32 of 127 elements, expected F32 of 128$/);
    await refused(
      2,
      'refit-equations/0.ffn.input',
      'gram',
      /^gram: got F64 \[152\] of 152 elements, expected F64 \[153 to 289\]$/,
    );
  }));

test('who goes on after any patch asks for what is missing, and ends with the same, in later steps, too', () =>
  inFolder(async (folder) => {
    const whole = await refitIn(gradualWorld(path.join(folder, 'whole')));
    for (let done = 0; done <= whole.length; done++) {
      const first = gradualWorld(path.join(folder, `${done}`));
      const found = await refitIn(first);
      for (let part = 0; part < done; part += 2) {
        const until = Math.min(part + 2, done);
        await storeRefit(first.context, 'step/refit', { refitted: found.slice(0, until), seconds: until }, part);
      }
      const again = gradualWorld(path.join(folder, `${done}`));
      const resumed = await readRefit(again.context, 'step/refit', prunedStudent(), SETTINGS);
      assert.deepEqual(digestsOf(resumed.refitted), digestsOf(whole).slice(0, done));
      assert.deepEqual(
        resumed.refitted.map(({ reports }) => reports),
        whole.slice(0, done).map(({ reports }) => reports),
      );
      const refitted = await refitIn(again, resumed.refitted);
      assert.deepEqual(digestsOf(refitted), digestsOf(whole));
      // Queries belong to the patch of keys and values.
      assert.deepEqual(refitsOf(again), ORDER.slice([0, 1, 2, 3, 5, 6, 7][done]));
    }
    // A later step replaces each patch where it stands, and begins with all of them.
    const { masks } = prunedStudent();
    const patches = patchesOf(whole);
    const later = gradualWorld(path.join(folder, 'later'));
    await refitIn(later, [], { masks, patches });
    const [{ request }] = later.tasks.filter((task) => task.request.refit);
    assert.deepEqual(
      request.refit!.student!.patches!.map(({ blob }) => blob!.digest),
      digestsOf(whole),
    );
  }));
