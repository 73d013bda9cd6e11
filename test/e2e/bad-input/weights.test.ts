// Mistakes in weight files: one clear line, its exit code, and nothing is written.
import { readFile, truncate, writeFile } from 'node:fs/promises';
import {
  changeConfig,
  changeHeader,
  changeNumber,
  changeTensors,
  describeMistakes,
  QUERY,
  weightsOf,
} from '../../support/mistakes.ts';
import { openWorkspace } from '../../support/run-cli.ts';

const workspace = await openWorkspace();

describeMistakes(workspace, 'weights', {
  'cut short': {
    code: 'model_format',
    model: (folder) => truncate(weightsOf(folder), 20_000),
    texts: ['the file is cut short'],
  },
  'empty file': {
    code: 'model_format',
    model: (folder) => truncate(weightsOf(folder), 0),
    texts: ['model.safetensors'],
  },
  'a header length that lies': {
    code: 'model_format',
    model: async (folder) => {
      const bytes = await readFile(weightsOf(folder));
      bytes.writeBigUInt64LE(2n ** 63n - 1n);
      await writeFile(weightsOf(folder), bytes);
    },
    texts: ['model.safetensors'],
  },
  'a header that is no JSON': {
    code: 'model_format',
    model: (folder) => changeHeader(folder, (header) => header.replace('{', '(')),
    texts: ['got a header that is no JSON'],
  },
  'offsets that lie': {
    code: 'model_format',
    model: (folder) => changeHeader(folder, (header) => header.replace('"data_offsets":[0,', '"data_offsets":[4,')),
    texts: ['model.safetensors', 'expected'],
  },
  'offsets beyond the file': {
    code: 'model_format',
    model: (folder) =>
      changeHeader(folder, (header) =>
        header.replace(
          /(query\.bias":.*?"data_offsets":)\[(\d+),(\d+)\]/,
          (_, name, begin, end) => `${name}[${Number(begin) + 1e9},${Number(end) + 1e9}]`,
        ),
      ),
    texts: ['query.bias', 'expected at most'],
  },
  'a dtype that lies': {
    code: 'model_format',
    model: (folder) => changeHeader(folder, (header) => header.replace('"dtype":"F32"', '"dtype":"F16"')),
    texts: ['bytes, expected', 'for F16'],
  },
  'a dtype of another kind': {
    code: 'model_unsupported',
    model: (folder) => changeHeader(folder, (header) => header.replaceAll('"dtype":"F32"', '"dtype":"I32"')),
    texts: ['got I32, expected F32, F16 or BF16'],
  },
  'a missing weight': {
    code: 'weights_mismatch',
    model: (folder) => changeTensors(folder, (tensors) => tensors.delete(QUERY)),
    texts: [`got no ${QUERY}`, 'check that config.json belongs to these weights'],
  },
  'an unknown weight': {
    code: 'weights_mismatch',
    model: (folder) =>
      changeTensors(folder, (tensors) => {
        tensors.set('bert.lora_A', { name: 'bert.lora_A', dtype: 'F32', shape: [1], data: Float32Array.of(1) });
      }),
    texts: ['got unexpected bert.lora_A'],
  },
  'a misshapen weight': {
    code: 'shape_mismatch',
    model: (folder) =>
      changeTensors(folder, (tensors) => {
        tensors.set(QUERY, { ...tensors.get(QUERY)!, shape: [12, 48] });
      }),
    texts: [`${QUERY}: got [12,48], expected [24,24]`],
  },
  'a config of other sizes': {
    code: 'shape_mismatch',
    model: (folder) => changeConfig(folder, { intermediate_size: 999 }),
    texts: ['intermediate.dense.weight: got [40,24], expected [999,24]', 'and 1 more'],
  },
  'a config of more layers': {
    code: 'weights_mismatch',
    model: (folder) => changeConfig(folder, { num_hidden_layers: 3 }),
    texts: ['got no bert.encoder.layer.2.', 'and 11 more'],
  },
  'a config of fewer layers': {
    code: 'weights_mismatch',
    model: (folder) => changeConfig(folder, { num_hidden_layers: 1 }),
    texts: ['got unexpected bert.encoder.layer.1.'],
  },
  'a config of more labels': {
    code: 'shape_mismatch',
    model: (folder) => changeConfig(folder, { id2label: { 0: 'a', 1: 'b', 2: 'c' } }),
    texts: ['classifier.weight: got [2,24], expected [3,24]'],
  },
  NaN: {
    code: 'not_finite',
    model: (folder) => changeNumber(folder, QUERY, Number.NaN),
    texts: [`${QUERY}: got NaN at index 5, expected finite numbers`],
  },
  infinity: {
    code: 'not_finite',
    model: (folder) => changeNumber(folder, 'bert.embeddings.LayerNorm.bias', Number.NEGATIVE_INFINITY),
    texts: ['bert.embeddings.LayerNorm.bias: got -Infinity at index 5'],
  },
});
