// Mistakes in a model folder and its config: one clear line, its exit code, and nothing is written.
import { rename, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { changeConfig, describeMistakes, QUERY, weightsOf } from '../../support/mistakes.ts';
import { openWorkspace } from '../../support/run-cli.ts';

const workspace = await openWorkspace();

describeMistakes(workspace, 'model folders', {
  'no folder': {
    code: 'model_not_found',
    modelFolder: 'nowhere',
    texts: ['DIR/nowhere', 'got nothing', 'expected a folder'],
  },
  'a file for a folder': {
    code: 'model_not_found',
    modelFolder: 'data.jsonl',
    texts: ['got a file, expected a folder'],
  },
  'no config': {
    code: 'model_not_found',
    model: (folder) => rm(path.join(folder, 'config.json')),
    texts: ['DIR/model/config.json: no such file', 'give a folder with config.json'],
  },
  'no weights': {
    code: 'model_not_found',
    model: (folder) => rm(weightsOf(folder)),
    texts: ['got no weights, expected model.safetensors'],
  },
  'only pytorch_model.bin': {
    code: 'model_unsupported',
    model: (folder) => rename(weightsOf(folder), path.join(folder, 'pytorch_model.bin')),
    texts: ['got pytorch_model.bin, expected model.safetensors', 'BertForSequenceClassification', 'save_pretrained'],
  },
  'a shard that is missing': {
    code: 'model_not_found',
    model: async (folder) => {
      const index = { weight_map: { [QUERY]: 'model-00001-of-00002.safetensors' } };
      await writeFile(path.join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
      await rm(weightsOf(folder));
    },
    texts: ['model-00001-of-00002.safetensors: no such file'],
  },
  'a config that is no JSON': {
    code: 'model_format',
    model: (folder) => truncate(path.join(folder, 'config.json'), 40),
    texts: ['config.json: got no JSON'],
  },
  'another model type': {
    code: 'model_unsupported',
    model: (folder) => changeConfig(folder, { model_type: 'mamba' }),
    texts: ['model_type: got "mamba", expected one of bert, distilbert, roberta'],
  },
  'another activation': {
    code: 'model_unsupported',
    model: (folder) => changeConfig(folder, { hidden_act: 'silu' }),
    texts: ['hidden_act: got "silu", expected one of gelu'],
  },
  'another head': {
    code: 'model_unsupported',
    model: (folder) => changeConfig(folder, { architectures: ['BertForMaskedLM'] }),
    texts: ['architectures: got ["BertForMaskedLM"], expected one of BertForSequenceClassification'],
  },
  'a model that is pruned already': {
    code: 'model_unsupported',
    model: (folder) =>
      changeConfig(folder, { espalier: { schema: 1, head_size: 8, heads: [3, 3], neurons: [40, 40] } }),
    texts: ['got a model that is already pruned, expected a dense one'],
  },
});
