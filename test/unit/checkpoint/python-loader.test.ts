// Runs the Python loader where PyTorch is installed; ESPALIER_PYTHON names another interpreter than python3.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openCheckpoint } from '../../../checkpoint/open-checkpoint.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { projectRoot } from '../../../shared/project-root.ts';
import { randomPatches, writeWithPatches } from '../../support/random-patches.ts';
import { fixture, readJson, temporaryFolder } from './model-folders.ts';

const PYTHON = process.env.ESPALIER_PYTHON ?? 'python3';
const LOADER = join(projectRoot(), 'checkpoint', 'python');
const SCRIPT = join(projectRoot(), 'test', 'unit', 'checkpoint', 'logits.py');
const hasTorch = spawnSync(PYTHON, ['-c', 'import torch']).status === 0;

type Inputs = Record<string, number[][]>;
type Nested = number | Nested[];

interface HuggingFaceExpectation {
  inputs: Inputs;
  logits?: Nested;
  start_logits?: Nested;
  end_logits?: Nested;
}

interface ReferenceExpectation {
  batches: (Inputs & { labels?: unknown })[];
  cases: { constraint: number; tuned_head_mask: number[][]; tuned_neuron_mask: number[][]; tuned_logits: Nested[] }[];
}

/** Logits of each of the inputs; `loader` is the folder of espalier_model.py. */
function logits(folder: string, loader: string, inputs: Inputs[], dtype: string): Nested[] {
  const input = inputs.map((one) => JSON.stringify([one, dtype])).join('\n');
  const { status, stdout, stderr } = spawnSync(PYTHON, [SCRIPT, folder, loader], { input, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function largestDifference(got: Nested, expected: Nested): number {
  const [a, b] = [[got].flat(9) as number[], [expected].flat(9) as number[]];
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

describe('espalier_model.py', { skip: hasTorch ? false : `${PYTHON} has no PyTorch` }, () => {
  for (const name of readdirSync(join(projectRoot(), 'test', 'fixtures')).filter((one) => one.startsWith('hf-')))
    it(`computes the logits of transformers for ${name}`, async () => {
      const expected = await readJson<HuggingFaceExpectation>(join(fixture(name), 'expected.json'));
      const outputs = expected.logits ? [expected.logits] : [expected.start_logits!, expected.end_logits!];
      const [exact] = logits(fixture(name), LOADER, [expected.inputs], 'float64');
      assert.ok(largestDifference(exact, outputs) < 1e-12, 'in float64, as the expected logits were computed');
      const [single] = logits(fixture(name), LOADER, [expected.inputs], 'float32');
      assert.ok(largestDifference(single, outputs) < 1e-5, 'in float32: values near 1, 24 bits, a few hundred terms');
    });

  for (const name of ['reference-bert', 'reference-distilbert'])
    it(`computes the logits of the reference implementation's tuned ${name} from the pruned folder`, async (test) => {
      const { batches, cases } = await readJson<ReferenceExpectation>(join(fixture(name), 'expected.json'));
      const source = await openCheckpoint(fixture(name));
      test.after(() => source.close());
      const { layers, heads, intermediateSize } = source.config;
      const inputs = batches.map(
        ({ input_ids, attention_mask, token_type_ids }): Inputs => ({
          input_ids,
          attention_mask,
          ...(source.config.typeVocabularySize > 0 && { token_type_ids }),
        }),
      );
      for (const { tuned_head_mask, tuned_neuron_mask, tuned_logits } of cases) {
        // The reference keeps one array: 0 where pruned, else the scale.
        const masks = denseMasks(layers, heads, intermediateSize);
        masks.headScales.set(tuned_head_mask.flat());
        masks.neuronScales.set(tuned_neuron_mask.flat());
        masks.headMask.set(masks.headScales.map((scale) => (scale === 0 ? 0 : 1)));
        masks.neuronMask.set(masks.neuronScales.map((scale) => (scale === 0 ? 0 : 1)));
        const folder = await temporaryFolder(test);
        await writePrunedCheckpoint(source, masks, 'F32', folder);
        const got = logits(folder, folder, inputs, 'float32').map((outputs) => (outputs as Nested[])[0]);
        // Both in float32; folding a scale into a weight rounds once more than scaling the activation.
        assert.ok(largestDifference(got, tuned_logits) < 2e-5);
      }
    });

  it('loads a refitted model unchanged: the logits of a dense model that has its projections', async (test) => {
    const { inputs } = await readJson<HuggingFaceExpectation>(join(fixture('hf-bert-classification'), 'expected.json'));
    const source = await openCheckpoint(fixture('hf-bert-classification'));
    test.after(() => source.close());
    const masks = denseMasks(2, 3, 40);
    const patches = randomPatches(source, masks);
    const [refitted, dense] = [await temporaryFolder(test), join(await temporaryFolder(test), 'dense')];
    await writePrunedCheckpoint(source, masks, 'F32', refitted, 'espalier', patches);
    await writeWithPatches(fixture('hf-bert-classification'), patches, dense);
    const expected = logits(dense, LOADER, [inputs], 'float64');
    assert.ok(largestDifference(logits(refitted, refitted, [inputs], 'float64'), expected) < 1e-12);
    const own = logits(fixture('hf-bert-classification'), LOADER, [inputs], 'float64');
    assert.ok(largestDifference(own, expected) > 1e-3, 'the projections matter');
  });

  it('runs layers without heads and neurons, in all types of weights', async (test) => {
    const source = await openCheckpoint(fixture('hf-bert-classification'));
    test.after(() => source.close());
    const { inputs } = await readJson<HuggingFaceExpectation>(join(fixture('hf-bert-classification'), 'expected.json'));
    const masks = denseMasks(2, 3, 40);
    masks.headMask.fill(0, 0, 3);
    masks.neuronMask.fill(0);
    // A dense model whose pruned parts are scaled by 0 computes the same.
    const zeroed = denseMasks(2, 3, 40);
    zeroed.headScales.fill(0, 0, 3);
    zeroed.neuronScales.fill(0);
    const run = async (which: typeof masks, dtype: 'F32' | 'F16' | 'BF16') => {
      const folder = await temporaryFolder(test);
      await writePrunedCheckpoint(source, which, dtype, folder);
      return logits(folder, folder, [inputs], 'float64');
    };
    const expected = await run(zeroed, 'F32');
    assert.ok(largestDifference(await run(masks, 'F32'), expected) < 1e-12);
    // Weights rounded to 11 and 8 bits; logits near 1.
    for (const [dtype, tolerance] of [
      ['F16', 5e-3],
      ['BF16', 5e-2],
    ] as const) {
      const difference = largestDifference(await run(masks, dtype), expected);
      assert.ok(difference > 0 && difference < tolerance, `${dtype}: ${difference}`);
    }
  });
});
