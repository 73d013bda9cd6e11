// Patches that a peer may send: what is malformed is refused with code "protocol" or "not_finite" and a text that names it;
// afterwards the same runner answers as before.
import assert from 'node:assert/strict';
import test from 'node:test';
import { denseMasks, type SubLayer } from '../../../pruning/masks.ts';
import { type Patch, patchToTensors } from '../../../pruning/patch.ts';
import { encodeSafetensors } from '../../../shared/safetensors.ts';
import { randomPatch } from './patches.ts';
import { Desk, emptySet, type MaskSet, maskSet } from './request-desk.ts';
import { assertSameBits } from './results.ts';
import { HEADS, halfMasks, keeping, LAYERS, NEURONS } from './tiny-model.ts';

type PatchRef = MaskSet['patches'][number];

const MASKS = halfMasks('student');

async function patchRef(desk: Desk, patch: Patch): Promise<PatchRef> {
  const { layer, subLayer } = patch;
  const part = patch.part === 'input' ? 'input' : '';
  return { layer, subLayer, part, blob: await desk.put(encodeSafetensors(patchToTensors(patch))) };
}

const told = (...patches: PatchRef[]): MaskSet => ({ ...maskSet(MASKS), patches });

test('evaluate, gradients and latency take patches', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const patch = (layer: number, subLayer: SubLayer) => randomPatch(desk.tiny.config, MASKS, layer, subLayer);
  const inputs = randomPatch(desk.tiny.config, MASKS, 2, 'ffn', '', 'input');
  const patches = [patch(0, 'attention'), patch(0, 'ffn'), patch(2, 'ffn'), inputs];
  const student = told(...(await Promise.all(patches.map((own) => patchRef(desk, own)))));
  for (const [what, patched, plain] of [
    ['evaluate', desk.evaluate({ student }), desk.evaluate()],
    ['gradients', desk.gradients({ student }), desk.gradients()],
  ] as const) {
    const before = await desk.run(plain);
    const found = await desk.run(patched);
    assert.notDeepEqual(found, before, what);
    assertSameBits(await desk.run(patched), found, `${what}, from what is on the device`);
    assertSameBits(await desk.run(plain), before, `${what} without patches`);
  }
  const [seconds] = await desk.run(desk.latency({ students: [student, emptySet(), told()] }));
  assert.deepEqual([...seconds.shape], [3, 1]);
});

test('patches of places and contents that cannot be', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const { config } = desk.tiny;
  const good = randomPatch(config, MASKS, 1, 'ffn');
  const ref = await patchRef(desk, good);
  const unknown = { digest: 'a'.repeat(64), sizeBytes: 1 };
  const { length } = good.kept;
  const short = { ...good, bias: good.bias.slice(1), weight: good.weight.slice(length) };
  const falling = { ...good, kept: good.kept.toReversed() };
  const narrow = randomPatch(config, keeping([[], [], []], [[], [0], []]), 1, 'ffn');
  const form = /^patch of layer 1 ffn: got tensors of another form, expected kept, weight \[kept \* 1, 24\] and bias$/;
  const wrong: [PatchRef[], RegExp][] = [
    [[{ ...ref, layer: LAYERS }], /^layer of a patch: got 3, expected 0 to 2$/],
    [[{ ...ref, subLayer: 'mha' }], /^sub_layer: got "mha", expected "attention" or "ffn"$/],
    [[ref, { ...ref, layer: 2 }, ref], /^patch of layer 1 ffn: got two, expected one at most$/],
    [[{ ...ref, part: 'output' }], /^part of a patch: got "output", expected "" or "input"$/],
    [
      [{ ...ref, part: 'input' }],
      /^patch of layer 1 ffn input: got tensors of another form, expected kept, weight \[kept \* 1, 24\] and bias$/,
    ],
    [[{ ...ref, blob: null }], /^blob of a patch: got nothing, expected a value$/],
    [[{ ...ref, blob: unknown }], /^blob a{64}: got nothing, expected a value$/],
    [[await patchRef(desk, short)], form],
    [[await patchRef(desk, falling)], form],
    [[{ ...ref, subLayer: 'attention' }], /^patch of layer 1 attention: got tensors of another form/],
    [[await patchRef(desk, narrow)], /^patch of layer 1 ffn: got masks that keep \d+, expected one of the 1 that/],
  ];
  for (const [patches, text] of wrong) {
    await desk.refuses(desk.evaluate({ student: told(...patches) }), text);
    await desk.refuses(desk.gradients({ student: told(...patches) }), text);
    await desk.refuses(desk.latency({ students: [told(), told(...patches)] }), text);
  }
  const spoilt = { ...good, weight: good.weight.with(5, Number.NaN) };
  const student = told(await patchRef(desk, spoilt));
  await assert.rejects(desk.run(desk.evaluate({ student })), {
    code: 'not_finite',
    message: /^patch of layer 1 ffn: got NaN at index 5, expected a finite number$/,
  });
  assert.equal((await desk.run(desk.evaluate({ student: told(ref) }))).length, 1);
});

test('tasks of tuning by scales take none', async (t) => {
  const desk = await Desk.open(t, 'SequenceClassification');
  const patch = randomPatch(desk.tiny.config, denseMasks(LAYERS, HEADS, NEURONS), 0, 'attention');
  const student = told(await patchRef(desk, patch));
  const text = /^patches: got 1, expected none in this kind of task$/;
  await desk.refuses(desk.normalEquations({ student }), text);
  await desk.refuses(desk.normalEquations({ teacher: student }), text);
  await desk.refuses(desk.solve({ student }), text);
  await desk.refuses(desk.solve({ teacher: student }), text);
  await desk.refuses(desk.activations({ student }), text);
});
