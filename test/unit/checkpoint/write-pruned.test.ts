import assert from 'node:assert/strict';
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { digestCheckpoint } from '../../../checkpoint/digest-checkpoint.ts';
import { bfloat16ToFloat32, float32ToBfloat16 } from '../../../checkpoint/half-precision.ts';
import { inspectCheckpoint } from '../../../checkpoint/inspect.ts';
import { writePrunedCheckpoint } from '../../../checkpoint/write-pruned.ts';
import { denseMasks, type Masks } from '../../../pruning/masks.ts';
import {
  changeConfig,
  changeTensors,
  copyOfFixture,
  failure,
  fixture,
  openDuring,
  readJson,
  temporaryFolder,
} from './model-folders.ts';

const BERT = 'hf-bert-classification';
const D = 24;
const HEAD_SIZE = 8;
// Kept in layer 0: heads 0 and 2, every third neuron. In layer 1: nothing.
const HEADS = [0, 2];
const NEURONS = Array.from({ length: 14 }, (_, i) => 3 * i);

function exampleMasks(): Masks {
  const masks = denseMasks(2, 3, 40);
  masks.headMask.fill(0);
  masks.neuronMask.fill(0);
  for (const head of HEADS) masks.headMask[head] = 1;
  for (const neuron of NEURONS) masks.neuronMask[neuron] = 1;
  masks.headScales.set([1.1, 9, -0.7]);
  masks.neuronScales.forEach((_, i) => {
    masks.neuronScales[i] = 1 + i / 7;
  });
  return masks;
}

/** The rows of a matrix. */
function rowsOf(values: Float32Array, width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, i) => [...values.subarray(i * width, (i + 1) * width)]);
}

describe('writePrunedCheckpoint', () => {
  it('keeps rows, scales kept columns and leaves the rest alone', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const folder = join(await temporaryFolder(test), 'new', 'folder');
    const masks = exampleMasks();
    const written = await writePrunedCheckpoint(source, masks, 'F32', folder);
    const pruned = await openDuring(test, folder);

    const headRows = HEADS.flatMap((head) => Array.from({ length: HEAD_SIZE }, (_, i) => head * HEAD_SIZE + i));
    const of = async (name: string) => [await source.tensor(name), await pruned.tensor(name)] as const;
    for (const part of ['query', 'key', 'value']) {
      const [weight, prunedWeight] = await of(`layers.0.${part}.weight`);
      const rows = rowsOf(weight, D);
      assert.deepEqual(
        rowsOf(prunedWeight, D),
        headRows.map((row) => rows[row]),
      );
      const [bias, prunedBias] = await of(`layers.0.${part}.bias`);
      assert.deepEqual(
        [...prunedBias],
        headRows.map((row) => bias[row]),
      );
    }
    const [output, prunedOutput] = await of('layers.0.attention_output.weight');
    assert.deepEqual(
      rowsOf(prunedOutput, headRows.length),
      rowsOf(output, D).map((row) =>
        headRows.map((column) => Math.fround(row[column] * masks.headScales[Math.floor(column / HEAD_SIZE)])),
      ),
    );
    const [ffnIn, prunedFfnIn] = await of('layers.0.ffn_in.weight');
    const ffnRows = rowsOf(ffnIn, D);
    assert.deepEqual(
      rowsOf(prunedFfnIn, D),
      NEURONS.map((neuron) => ffnRows[neuron]),
    );
    const [ffnOut, prunedFfnOut] = await of('layers.0.ffn_out.weight');
    assert.deepEqual(
      rowsOf(prunedFfnOut, NEURONS.length),
      rowsOf(ffnOut, 40).map((row) => NEURONS.map((i) => Math.fround(row[i] * masks.neuronScales[i]))),
    );
    for (const name of source.weights.keys())
      if (!/query|key|value|attention_output.weight|ffn_in|ffn_out.weight/.test(name)) {
        const [before, after] = await of(name);
        assert.deepEqual(after, before, name);
      }
    assert.deepEqual(pruned.shape('layers.1.query.weight'), [0, D]);
    assert.deepEqual(pruned.shape('layers.1.attention_output.weight'), [D, 0]);
    assert.deepEqual(pruned.shape('layers.1.ffn_in.bias'), [0]);
    assert.deepEqual(pruned.shape('layers.1.ffn_out.weight'), [D, 0]);

    const description = inspectCheckpoint(pruned);
    assert.deepEqual(
      [description.headsByLayer, description.neuronsByLayer],
      [
        [2, 0],
        [14, 0],
      ],
    );
    assert.equal(description.pruned, true);
    assert.equal(written.bytes, description.bytes);
    assert.equal(written.parameters, pruned.parameters);
    assert.equal(written.digest, (await digestCheckpoint(pruned)).digest);
  });

  it('changes no bit of a model of which everything is kept', async (test) => {
    for (const name of [BERT, 'hf-distilbert-question-answering', 'hf-roberta-classification']) {
      const source = await openDuring(test, fixture(name));
      const folder = await temporaryFolder(test);
      await writePrunedCheckpoint(source, denseMasks(2, 3, 40), 'F32', folder);
      const pruned = await openDuring(test, folder);
      for (const weight of source.weights.keys())
        assert.deepEqual(await pruned.tensor(weight), await source.tensor(weight));
    }
  });

  it('rounds to the asked type after folding the scales in', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const [full, half] = [await temporaryFolder(test), await temporaryFolder(test)];
    await writePrunedCheckpoint(source, exampleMasks(), 'F32', full);
    await writePrunedCheckpoint(source, exampleMasks(), 'BF16', half);
    const [exact, rounded] = [await openDuring(test, full), await openDuring(test, half)];
    assert.equal(rounded.dtype, 'BF16');
    for (const name of exact.weights.keys())
      assert.deepEqual(await rounded.tensor(name), bfloat16ToFloat32(float32ToBfloat16(await exact.tensor(name)).bits));
  });

  it('writes a config that keeps what it was, with the type and what was kept', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const folder = await temporaryFolder(test);
    await writePrunedCheckpoint(source, exampleMasks(), 'F16', folder);
    assert.deepEqual(await readJson(join(folder, 'config.json')), {
      ...source.config.raw,
      dtype: 'float16',
      espalier: { schema: 1, head_size: 8, heads: [2, 0], neurons: [14, 0] },
    });
  });

  for (const [name, field] of [
    [BERT, 'intermediate_size'],
    ['hf-distilbert-question-answering', 'hidden_dim'],
    ['hf-roberta-classification', 'intermediate_size'],
    ['hf-xlm-roberta-classification', 'intermediate_size'],
  ] as const)
    it(`writes ${name} with layers alike as a stock model: its config but for ${field}, tensors of a dense model`, async (test) => {
      const source = await openDuring(test, fixture(name));
      const folder = await temporaryFolder(test);
      const masks = denseMasks(2, 3, 40);
      // Sixteen in each layer, not the same ones.
      masks.neuronMask.forEach((_, at) => {
        masks.neuronMask[at] = Number((at < 40 ? at : 79 - at) < 16);
      });
      masks.headScales[1] = 0.5;
      masks.neuronScales[79] = 3;
      const written = await writePrunedCheckpoint(source, masks, 'F32', folder, 'stock');
      const config = await readJson<Record<string, unknown>>(join(folder, 'config.json'));
      assert.deepEqual(config, { ...source.config.raw, dtype: 'float32', [field]: 16 });
      assert.ok(!('espalier' in config) && !('auto_map' in config));

      // Without our key the folder is read as any dense model: every shape follows from the stock fields alone.
      const pruned = await openDuring(test, folder);
      assert.deepEqual(pruned.config.neuronsByLayer, [16, 16]);
      assert.deepEqual(pruned.config.headsByLayer, [3, 3]);
      assert.equal(pruned.config.intermediateSize, 16);
      for (const [weight, { storedName, shape, entry }] of pruned.weights) {
        const dense = source.weights.get(weight)!;
        assert.equal(storedName, dense.storedName);
        assert.deepEqual(entry.shape, shape);
        assert.deepEqual(
          shape,
          dense.shape.map((size) => (size === 40 && weight.includes('ffn_') ? 16 : size)),
        );
      }
      assert.equal(pruned.weights.size, source.weights.size);
      assert.equal(written.digest, (await digestCheckpoint(pruned)).digest);
      const [column, scaled] = [
        await source.tensor('layers.1.ffn_out.weight'),
        await pruned.tensor('layers.1.ffn_out.weight'),
      ];
      assert.equal(scaled[15], Math.fround(3 * column[39]));
    });

  it('refuses the stock layout of layers that differ, of heads that are gone, of no neurons', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const folder = await temporaryFolder(test);
    const refused = async (change: (masks: Masks) => void, text: string) => {
      const masks = denseMasks(2, 3, 40);
      change(masks);
      await assert.rejects(writePrunedCheckpoint(source, masks, 'F32', folder, 'stock'), failure('internal', text));
    };
    await refused((masks) => masks.neuronMask.fill(0, 0, 1), 'stock layout: got heads [3,3] and neurons [39,40]');
    await refused((masks) => masks.headMask.fill(0, 0, 1), 'got heads [2,3] and neurons [40,40]');
    await refused((masks) => masks.neuronMask.fill(0), 'neurons [0,0], expected 3 heads and one number of neurons');
    assert.deepEqual(await readdir(folder), []);
  });

  it('keeps the older spelling torch_dtype', async (test) => {
    const folder = await copyOfFixture(test, BERT);
    await changeConfig(folder, { dtype: undefined, torch_dtype: 'float32' });
    const target = await temporaryFolder(test);
    await writePrunedCheckpoint(await openDuring(test, folder), exampleMasks(), 'BF16', target);
    const { dtype, torch_dtype } = await readJson(join(target, 'config.json'));
    assert.deepEqual([dtype, torch_dtype], [undefined, 'bfloat16']);
  });

  it('writes the masks, the loader and the tokenizer files that there are', async (test) => {
    const from = await copyOfFixture(test, BERT);
    await writeFile(join(from, 'tokenizer.json'), '{"a":1}');
    await writeFile(join(from, 'vocab.txt'), '[PAD]\n');
    const folder = await temporaryFolder(test);
    const masks = exampleMasks();
    await writePrunedCheckpoint(await openDuring(test, from), masks, 'F32', folder);
    assert.deepEqual((await readdir(folder)).sort(), [
      'config.json',
      'espalier_model.py',
      'masks.json',
      'model.safetensors',
      'tokenizer.json',
      'vocab.txt',
    ]);
    assert.equal(await readFile(join(folder, 'tokenizer.json'), 'utf8'), '{"a":1}');
    const json = await readJson<Record<string, number[][]>>(join(folder, 'masks.json'));
    assert.deepEqual(json.heads, [
      [1, 0, 1],
      [0, 0, 0],
    ]);
    assert.deepEqual(json.neurons.flat(), [...masks.neuronMask]);
    assert.deepEqual(Float32Array.from(json.head_scales.flat()), masks.headScales);
    assert.deepEqual(Float32Array.from(json.neuron_scales.flat()), masks.neuronScales);
  });

  it('writes the same bytes again over an older result', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const folder = await temporaryFolder(test);
    const first = await writePrunedCheckpoint(source, exampleMasks(), 'F16', folder);
    assert.deepEqual(await writePrunedCheckpoint(source, exampleMasks(), 'F16', folder), first);
  });

  it('refuses its own source, a pruned source and masks of another model', async (test) => {
    const own = await copyOfFixture(test, BERT);
    const source = await openDuring(test, own);
    const folder = await temporaryFolder(test);
    await assert.rejects(writePrunedCheckpoint(source, exampleMasks(), 'F32', own), failure('output_exists', own));
    await assert.rejects(
      writePrunedCheckpoint(source, denseMasks(2, 3, 41), 'F32', folder),
      failure('shape_mismatch', 'masks: got [layers,heads,neurons] [2,3,41], expected [2,3,40]'),
    );
    await assert.rejects(
      writePrunedCheckpoint(source, { ...exampleMasks(), headScales: new Float32Array(5) }, 'F32', folder),
      failure('shape_mismatch', 'masks: headScales: got 5, expected 6'),
    );
    await writePrunedCheckpoint(source, exampleMasks(), 'F32', folder);
    const pruned = await openDuring(test, folder);
    await assert.rejects(
      writePrunedCheckpoint(pruned, exampleMasks(), 'F32', join(folder, 'x')),
      failure('model_unsupported', `${folder}: already pruned`),
    );
  });

  it('refuses numbers that are not finite, before or after rounding, and leaves no weights behind', async (test) => {
    const source = await openDuring(test, fixture(BERT));
    const folder = await temporaryFolder(test);
    const masks = exampleMasks();
    masks.neuronScales[3] = NaN;
    await assert.rejects(
      writePrunedCheckpoint(source, masks, 'F32', folder),
      failure('not_finite', 'masks: neuronScales: got NaN at index 3'),
    );
    masks.neuronScales[3] = 1e6;
    await assert.rejects(
      writePrunedCheckpoint(source, masks, 'F16', folder),
      failure('not_finite', 'bert.encoder.layer.0.output.dense.weight: got ', 'which float16 cannot hold'),
    );
    const large = await copyOfFixture(test, BERT);
    await changeTensors(large, (tensors) => {
      const tensor = tensors.get('bert.encoder.layer.0.output.dense.weight')!;
      tensor.data[3] = 3e38;
      return tensors.values();
    });
    await assert.rejects(
      writePrunedCheckpoint(await openDuring(test, large), masks, 'F32', folder),
      failure('not_finite', 'got Infinity at index 1 with its scale folded in'),
    );
    assert.deepEqual(await readdir(folder), []);
  });

  it('leaves errors of the file system as they are', { skip: process.getuid?.() === 0 }, async (test) => {
    const folder = await temporaryFolder(test);
    await chmod(folder, 0o500);
    const source = await openDuring(test, fixture(BERT));
    await assert.rejects(writePrunedCheckpoint(source, exampleMasks(), 'F32', folder), { code: 'EACCES' });
  });
});
