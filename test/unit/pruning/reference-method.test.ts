// The whole published method, stage by stage, against its reference implementation (fixtures reference-*, float32):
// gradients, search, rearrangement, every sub-layer's normal equations, scales, and the tuned model's outputs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denseCosts } from '../../../pruning/cost.ts';
import { diagonalImportance } from '../../../pruning/fisher.ts';
import type { Masks } from '../../../pruning/masks.ts';
import { rearrangeMasks } from '../../../pruning/rearrange.ts';
import { searchMasks } from '../../../pruning/search.ts';
import { gramOfRows } from '../../support/plain-grams.ts';
import { solveReference } from '../../support/plain-solve.ts';
import { outputProjection, scaleSystem } from '../../support/plain-system.ts';
import { ReferenceEncoder } from '../../support/reference-encoder.ts';
import {
  fixtureFisher,
  fixtureInputs,
  loadReferenceFixture,
  maskValues,
  REFERENCE_FIXTURES,
  REFERENCE_SIZES,
} from '../../support/reference-fixture.ts';
import { crossEntropy } from '../../support/reference-losses.ts';
import { keptFeatures, outputWeight, referenceSums } from '../../support/reference-sums.ts';

// The fixture is float32 with sums of up to 700 · 48 terms: relative 1e-5 of the largest element.
const FLOAT32 = 1e-5;

for (const name of REFERENCE_FIXTURES) {
  const fixture = loadReferenceFixture(name);
  const { layers, heads, neurons, hiddenSize, headSize } = REFERENCE_SIZES;
  const fisher = fixtureFisher(fixture);
  const importance = diagonalImportance(fisher, layers, heads, neurons);
  const inputs = fixtureInputs(fixture);

  test(`${name}: a Fisher row is the mean of its batch's mask gradients`, async () => {
    const encoder = await ReferenceEncoder.load(fixture.directory);
    fixture.batches.forEach((batch, row) => {
      const headSums = new Float64Array(layers * heads);
      const neuronSums = new Float64Array(layers * neurons);
      inputs.slice(row * 8, row * 8 + 8).forEach((input, sample) => {
        const trace = encoder.forward(input);
        const gradients = encoder.maskGradients(trace, crossEntropy(trace.logits, batch.labels[sample]).gradient);
        for (let at = 0; at < headSums.length; at++) headSums[at] += gradients.heads[at] / 8;
        for (let at = 0; at < neuronSums.length; at++) neuronSums[at] += gradients.neurons[at] / 8;
      });
      assertClose(headSums, fixture.head_grads_per_batch[row].flat(), FLOAT32);
      assertClose(neuronSums, fixture.neuron_grads_per_batch[row].flat(), FLOAT32);
    });
  });

  for (const expected of fixture.cases) {
    const { constraint } = expected;
    const costs = denseCosts(REFERENCE_SIZES, { tokens: expected.seq_len, hiddenSize, headSize });
    const search = (budget: number): Masks =>
      searchMasks({ importance, layers, heads, neurons, ...costs, budgetMacs: budget * costs.totalMacs });

    test(`${name} at ${constraint}: searched and rearranged masks are the same`, () => {
      const searched = search(constraint);
      assertMasks(searched, expected.search_head_mask, expected.search_neuron_mask);
      assertMasks(search(Math.sqrt(constraint)), expected.teacher_head_mask, expected.teacher_neuron_mask);
      for (const form of [fisher, gramOfRows(fisher, REFERENCE_SIZES)])
        assertMasks(rearrangeMasks(form, searched), expected.rearranged_head_mask, expected.rearranged_neuron_mask);
    });

    test(`${name} at ${constraint}: normal equations, scales and tuned outputs agree to float32`, async () => {
      const encoder = await ReferenceEncoder.load(fixture.directory);
      const teacher = maskValues(expected.teacher_head_mask, expected.teacher_neuron_mask);
      const student = maskValues(expected.rearranged_head_mask, expected.rearranged_neuron_mask);
      const left = [...expected.normal_equations];
      for (let layer = 0; layer < layers; layer++)
        for (const kind of ['attention', 'ffn'] as const) {
          const place = { layer, kind };
          const kept = keptFeatures(encoder, student, place);
          // The reference leaves layer 0's attention alone, and what keeps nothing.
          if (kept.length === 0 || (layer === 0 && kind === 'attention')) continue;
          const equations = left.shift()!;
          assert.equal(equations.kind, kind === 'ffn' ? 'ffn' : 'mha');
          const blockSize = kind === 'ffn' ? 1 : headSize;
          const projection = outputProjection(outputWeight(encoder, kept, place), {
            features: kept.length,
            hiddenSize,
            blockSize,
          });
          // The ones column is attention's alone.
          const sums = referenceSums(encoder, inputs, teacher, student, place);
          const system = scaleSystem(sums, projection, kind === 'attention');
          assertClose(system.matrix, equations.ATA.flat(), FLOAT32);
          assertClose(system.right, equations.ATb, FLOAT32);

          const solution = solveReference(system)!;
          const values = kind === 'ffn' ? student.neurons : student.heads;
          const perLayer = kind === 'ffn' ? neurons : heads;
          const tuned = (kind === 'ffn' ? expected.tuned_neuron_mask : expected.tuned_head_mask)[layer];
          for (let i = 0, scale = 0; i < perLayer; i++)
            if (values[layer * perLayer + i] !== 0) values[layer * perLayer + i] = 1 + solution[scale++];
          // float32 noise of the system, amplified by small eigenvalues: 2e-5 absolute.
          assertClose(values.subarray(layer * perLayer, (layer + 1) * perLayer), tuned, 2e-5);
        }
      assert.equal(left.length, 0, 'every sub-layer of the fixture was compared');
      const logits = inputs.flatMap((input) => [...encoder.forward(input, student).logits]);
      assertClose(logits, expected.tuned_logits.flat(2), 3 * FLOAT32);
    });
  }
}

test('control: with the teacher that masks the target FFN too, the right side is another', async () => {
  const fixture = loadReferenceFixture('reference-bert');
  const expected = fixture.cases[1];
  const encoder = await ReferenceEncoder.load(fixture.directory);
  const teacher = maskValues(expected.teacher_head_mask, expected.teacher_neuron_mask);
  const student = maskValues(expected.rearranged_head_mask, expected.rearranged_neuron_mask);
  const place = { layer: 0, kind: 'ffn' } as const;
  const [dense, masked] = (['dense', 'masked'] as const).map((which) =>
    referenceSums(encoder, fixtureInputs(fixture), teacher, student, place, which),
  );
  assert.notEqual(dense.targetSquares, masked.targetSquares);
  assert.deepEqual(dense.gram, masked.gram);
});

function assertMasks(masks: Masks, headMask: number[][], neuronMask: number[][]): void {
  assert.deepEqual([...masks.headMask], headMask.flat());
  assert.deepEqual([...masks.neuronMask], neuronMask.flat());
}

/** Largest difference against the largest expected size, or 1 where that is smaller. */
function assertClose(got: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  assert.equal(got.length, expected.length);
  const scale = expected.reduce((top, value) => Math.max(top, Math.abs(value)), 1);
  expected.forEach((value, at) => {
    assert.ok(Math.abs(got[at] - value) <= tolerance * scale, `element ${at}: got ${got[at]}, expected ${value}`);
  });
}
