// What a peer can send with a refit: everything malformed is refused with code "protocol" and a text that names the field, what
// was got and what was expected; afterwards the same runner answers as before.
import assert from 'node:assert/strict';
import test from 'node:test';
import { patchToTensors } from '../../../pruning/patch.ts';
import { refitSumsFromTensors, refitSumsToTensors } from '../../../pruning/refit-equations.ts';
import { keptVariables } from '../../../pruning/sub-layers.ts';
import type { RunRequest } from '../../../shared/rpc/protocol.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { Forward } from '../../../worker/model/forward.ts';
import type { OnPart } from '../../../worker/tasks/task-context.ts';
import { randomPatch } from './patches.ts';
import { gradientsBlob, STEPS } from './refit-cases.ts';
import { Desk, maskSet, planOf } from './request-desk.ts';
import { assertSameBits, byName, tensorOf } from './results.ts';
import { HEADS, halfMasks, keeping, LAYERS, maskValues, NEURONS } from './tiny-model.ts';

type TokenWeights = NonNullable<RunRequest['refit']>['weights'];

const SHARDS = [
  { first: 0, end: 1 },
  { first: 1, end: 2 },
];

const placeOf = (step: number) => ({ layer: Math.floor(step / 2), subLayer: step % 2 === 0 ? 'attention' : 'ffn' });

/** Gradients of each shard as blobs, after `change`. */
async function gradientsOf(
  desk: Desk,
  change: (rows: Float32Array[], shard: number) => Float32Array[] = (rows) => rows,
) {
  const { shards, samples } = planOf(desk.samples);
  const gradients = [];
  for (const [i, range] of SHARDS.entries()) {
    const positions = shards[i].batches
      .flatMap(({ members }) => [...members])
      .reduce((sum, member) => sum + samples[member].tokenIds.length, 0);
    const rows = Array.from({ length: STEPS }, (_, step) =>
      new Float32Array(positions).map((_, at) => (step + at) % 5),
    );
    gradients.push({ shards: range, blob: await desk.put(gradientsBlob(change(rows, i))) });
  }
  return gradients;
}

test('well-formed requests are answered, with patches and weights or without', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  assert.equal(planOf(desk.samples).shards.length, 2);
  const { hiddenSize } = desk.tiny.config;
  const kept = maskValues(halfMasks('student'))
    .neurons.subarray(NEURONS, 2 * NEURONS)
    .reduce((a, b) => a + b, 0);
  const gradients = await gradientsOf(desk);
  const blob = await desk.put(
    encodeSafetensors(patchToTensors(randomPatch(desk.tiny.config, halfMasks('student'), 0, 'ffn'))),
  );
  const patched = { ...maskSet(halfMasks('student')), patches: [{ layer: 0, subLayer: 'ffn', part: '', blob }] };
  const seen: (typeof patched | null)[] = [];
  const results = [];
  for (const student of [null, patched])
    for (const weights of [null, { gradients, mean: 2 }]) {
      const changes = { ...(student && { student }), weights };
      const sums = await desk.run(desk.refitEquations(changes));
      assert.deepEqual(
        sums.map(({ name, shape }) => [name, ...shape]),
        [
          ['gram', (kept + 1) ** 2],
          ['right', (kept + 1) * hiddenSize],
          ['target_squares', 1],
          ['positions', 1],
        ],
      );
      const found = await desk.run(desk.refit(changes));
      assert.deepEqual(
        found.slice(0, 2).map(({ name, dtype, shape }) => [name, dtype, ...shape]),
        [
          ['weight', 'F32', kept, hiddenSize],
          ['bias', 'F32', hiddenSize],
        ],
      );
      // A refit of folded sums is the refit of their shards. It sums nothing itself, so no gradients go with it.
      const fit = { sums: await desk.put(encodeSafetensors(sums)), source: 'sums' } as const;
      const folded = await desk.run(desk.refit({ ...changes, weights: weights && { ...weights, gradients: [] }, fit }));
      assertSameBits(folded, found, 'from sums');
      results.push(Buffer.from(found[0].data.buffer).toString('hex'));
      seen.push(student);
    }
  assert.equal(new Set(results).size, seen.length, 'patches and weights matter');
});

test('a sub-layer of which nothing is left has its bias refitted', async (t) => {
  const desk = await Desk.open(t, 'QuestionAnswering');
  const student = maskSet(keeping([[], [1], [2]], [[4], [], [0, 9]]));
  const held = {
    fit: { shards: SHARDS[0], source: 'shards' },
    heldOut: { shards: SHARDS[1], source: 'shards' },
  } as const;
  const [weight, bias] = await desk.run(desk.refit({ ...held, student, layer: 1, subLayer: 'ffn' }));
  assert.deepEqual([...weight.shape], [0, desk.tiny.config.hiddenSize]);
  assert.ok((bias.data as Float32Array).every((value) => Number.isFinite(value) && value !== 0));
});

test('parts that are missing, places that the model lacks, scales where it is refitted', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  for (const request of [desk.refitEquations.bind(desk), desk.refit.bind(desk)]) {
    await desk.refuses(request({ model: null }), /^model: got nothing/);
    await desk.refuses(request({ plan: null }), /^plan: got nothing/);
    await desk.refuses(request({ student: null }), /^student: got nothing/);
    await desk.refuses(request({ layer: LAYERS }), /^layer: got 3, expected 0 to 2$/);
    await desk.refuses(request({ subLayer: 'pooler' }), /^sub_layer: got "pooler", expected "attention" or "ffn"$/);
    const masks = halfMasks('student');
    const headScales = masks.headScales.map((_, i) => (i < HEADS ? 0.5 : 1));
    const scaled = maskSet({ ...masks, headScales });
    await desk.refuses(
      request({ student: scaled, layer: 0, subLayer: 'attention' }),
      /^scales of layer 0 attention: got some/,
    );
    assert.ok((await desk.run(request({ student: scaled }))).length > 0, 'scales of other sub-layers are in force');
  }
  await desk.refuses(desk.refitEquations({ shards: null }), /^shards: got nothing/);
  await desk.refuses(
    desk.refitEquations({ shards: { first: 1, end: 3 } }),
    /^shards: got 1 to 3, expected a range within 0 to 2$/,
  );
  await desk.refuses(desk.refit({ fit: null }), /^fit: got nothing/);
  await desk.refuses(
    desk.refit({ heldOut: { source: 'shards', shards: { first: 1, end: 1 } } }),
    /^shards: got 1 to 1/,
  );
});

test('settings', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  await desk.refuses(desk.refit({ settingsJson: '' }), /^refit settings: got no JSON/);
  await desk.refuses(
    desk.refit({ settingsJson: '{"lambdas":[1,0.1],"x":1}' }),
    /^refit settings: lambdas: got \[1,0.1\].*; x: unknown/,
  );
  assert.ok((await desk.run(desk.refit({ settingsJson: '{}' }))).length > 0, 'defaults');
});

test('token weights', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const good = await gradientsOf(desk);
  const refuses = async (weights: TokenWeights, text: RegExp) => {
    await desk.refuses(desk.refitEquations({ weights }), text);
    await desk.refuses(desk.refit({ weights }), text);
  };
  for (const mean of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    await refuses(
      { gradients: good, mean },
      /^mean of token gradients: got (0|-1|NaN|Infinity), expected a positive number$/,
    );
  const all = { first: 0, end: 2 };
  for (const [gradients, text] of [
    [[], /^token gradients: got those of shard 0 too seldom, expected each shard that is summed once$/],
    [good.slice(1), /^token gradients: got those of shard 0 too seldom/],
    [[...good, good[1]], /^token gradients: got those of shard 1 too often/],
    [[{ ...good[0], shards: all }, good[1]], /^token gradients: got those of shard 1 too often/],
    [[{ ...good[0], shards: all }], /^token_gradients: got F32 \[6,\d+\], expected F32 \[6,27\]$/],
    [[good[0], { ...good[1], blob: null }], /^token gradients: got nothing/],
    [[good[0], { ...good[1], shards: null }], /^shards: got nothing/],
    [[good[0], { ...good[1], shards: { first: 1, end: 3 } }], /^shards: got 1 to 3/],
    [[good[0], { ...good[1], blob: desk.plan }], /^token_gradients: got nothing, expected F32 \[6,\d+\]$/],
    [[good[0], { ...good[1], blob: await desk.put(Buffer.from('no')) }], /^token gradients: /],
  ] as const)
    await refuses({ gradients: [...gradients], mean: 1 }, text);
  // Fitted shards alone are not those that are summed.
  await desk.refuses(
    desk.refit({
      fit: { shards: SHARDS[0], source: 'shards' },
      heldOut: { shards: SHARDS[1], source: 'shards' },
      weights: { gradients: good.slice(0, 1), mean: 1 },
    }),
    /^token gradients: got those of shard 1 too seldom/,
  );
  const wrong: [(rows: Float32Array[]) => Float32Array[], RegExp][] = [
    [(rows) => rows.slice(1), /^token_gradients: got F32 \[5,\d+\], expected F32 \[6,\d+\]$/],
    [(rows) => rows.map((row) => row.subarray(1)), /^token_gradients: got F32 \[6,\d+\], expected/],
    [
      (rows) => rows.map((row) => row.with(2, Number.NaN)),
      /^token_gradients 2: got NaN and a mean of 1, expected a number from 0/,
    ],
    [(rows) => rows.map((row) => row.with(2, -1)), /^token_gradients 2: got -1 /],
    [(rows) => rows.map((row) => row.with(0, Number.POSITIVE_INFINITY)), /^token_gradients 0: got Infinity /],
  ];
  for (const [change, text] of wrong) await refuses({ gradients: await gradientsOf(desk, change), mean: 1 }, text);
  await refuses(
    { gradients: good, mean: 1e-40 },
    /^token_gradients \d: got \d and a mean of 1e-40, expected .* finite weight$/,
  );
});

test('sums of another sub-layer, and sums that are none', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const { hiddenSize } = desk.tiny.config;
  const tensors = await desk.run(desk.refitEquations());
  const fitOf = async (own: typeof tensors) => ({
    fit: { sums: await desk.put(encodeSafetensors(own)), source: 'sums' } as const,
  });
  const other = await fitOf(await desk.run(desk.refitEquations({ layer: 1, subLayer: 'attention' })));
  await assert.rejects(desk.run(desk.refit(other)), {
    code: 'shape_mismatch',
    message: /^refit sums: got \d+ features/,
  });
  await desk.refuses(desk.refit(await fitOf(tensors.slice(1))), /^sub-layer sums: tensor "gram" is missing$/);
  await desk.refuses(desk.refit(await fitOf(await desk.run(desk.normalEquations()))), /^(right|sub-layer sums|gram)/);
  const sums = refitSumsFromTensors(byName(tensors), hiddenSize);
  const spoiled = { ...sums, gram: sums.gram.with(0, Number.NaN) };
  await assert.rejects(desk.run(desk.refit(await fitOf(refitSumsToTensors(spoiled)))), { code: 'not_finite' });
  // A matrix that is not positive definite has no solution: what the student has stays.
  const negative = { ...sums, gram: sums.gram.map((value) => -value) };
  const [, , report] = await desk.run(desk.refit(await fitOf(refitSumsToTensors(negative))));
  assert.match(new TextDecoder().decode(report.data as Uint8Array), /"rung":"unchanged"/);
});

test('several refits: answered as they are found; parts that are half a patch, sums and places that are not there are refused', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const next = (layer: number, subLayer: string, part = '') => ({ layer, subLayer, part, mean: 0 });
  const told: string[][] = [];
  const request = desk.refit({ next: [next(1, 'attention', 'input'), next(1, 'attention')] });
  const onPart = (tensors: readonly { readonly name: string }[]) => told.push(tensors.map(({ name }) => name));
  const last = await desk.run(request, undefined, onPart);
  assert.deepEqual(told, [
    ['weight', 'bias', 'report'],
    ['1.weight', '1.bias', '1.report'],
  ]);
  assert.deepEqual(
    last.map(({ name }) => name),
    ['2.weight', '2.bias', '2.report'],
  );
  const sums = {
    sums: await desk.put(encodeSafetensors(await desk.run(desk.refitEquations()))),
    source: 'sums',
  } as const;
  for (const [changes, text] of [
    [{ next: [next(1, 'attention', 'query')] }, /part of several refits: got "query"/],
    [{ next: [next(1, 'attention', 'other')] }, /part: got "other"/],
    [{ next: [next(1, 'other')] }, /sub_layer: got "other"/],
    [{ next: [next(LAYERS, 'ffn')] }, /layer: got/],
    [{ next: [next(1, 'ffn')], fit: sums }, /several sub-layers: got sums, expected shards/],
    [{ next: Array.from({ length: 256 }, () => next(1, 'ffn')) }, /next: got 256, expected 0 to 255/],
  ] as const)
    await assert.rejects(desk.run(desk.refit(changes as Parameters<Desk['refit']>[0])), {
      code: 'protocol',
      message: text,
    });
});

test('weights that are refused in a later refit leave what was found before', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const spoilt = (rows: Float32Array[]) => rows.with(2, rows[2].with(1, Number.NaN));
  const weights = { gradients: await gradientsOf(desk, spoilt), mean: 2 };
  const next = [1, 2].map((step) => ({ ...placeOf(step), part: '', mean: 2 }));
  const told: string[] = [];
  const onPart: OnPart = (tensors) => void told.push(...tensors.map(({ name }) => name));
  const request = desk.refit({ ...placeOf(0), next, weights });
  await assert.rejects(desk.run(request, undefined, onPart), {
    code: 'protocol',
    message: /^token_gradients 1: got NaN and a mean of 2/,
  });
  assert.deepEqual(told, ['weight', 'bias', 'report', '1.weight', '1.bias', '1.report']);
});

test('what several refits have fitted is not read by the tasks that name it', async (t) => {
  const [desk, other] = [await Desk.open(t, 'SequenceClassification'), await Desk.open(t, 'SequenceClassification')];
  const masks = halfMasks('student');
  const places = [
    { layer: 0, subLayer: 'ffn', part: 'input' },
    { layer: 0, subLayer: 'ffn', part: '' },
    { layer: 1, subLayer: 'attention', part: 'input' },
  ] as const;
  const [first, ...next] = places;
  const tensors: NamedTensor[] = [];
  const told: OnPart = (part) => void tensors.push(...part);
  const request = desk.refit({ ...first, next: next.map((place) => ({ ...place, mean: 0 })) });
  tensors.push(...(await desk.run(request, undefined, told)));
  const patches = [];
  for (const [at, { layer, subLayer, part }] of places.entries()) {
    const [weight, bias] = ['weight', 'bias'].map(
      (field) => tensorOf(tensors, at === 0 ? field : `${at}.${field}`).data as Float32Array,
    );
    const kept = keptVariables(masks, { layer, subLayer });
    const bytes = encodeSafetensors(patchToTensors({ part: part === '' ? 'output' : part, kept, weight, bias }));
    patches.push({ layer, subLayer, part, blob: await desk.put(bytes) });
    await other.put(bytes);
  }
  const student = { ...maskSet(masks), patches };
  const expected = await other.run(other.evaluate({ student }));
  for (const { blob } of patches) desk.lose(blob);
  assertSameBits(await desk.run(desk.evaluate({ student })), expected, 'evaluate');
  const last = { layer: 2, subLayer: 'ffn', part: '', student };
  // Nor are hidden states made again that it has led to.
  const embedded = t.mock.method(Forward.prototype, 'embed');
  const found = await desk.run(desk.refit(last));
  assert.equal(embedded.mock.callCount(), 0);
  assertSameBits(found, await other.run(other.refit(last)), 'refit');
});
