// Names of files from outside: a closed list, and nothing that could be a path.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import {
  checkFileName,
  dataFileName,
  type FileKind,
  isFileName,
  isWeightFile,
} from '../../../coordinator/jobs/file-names.ts';
import { projectRoot } from '../../../shared/project-root.ts';

describe('names of files', () => {
  for (const [kind, name] of [
    ['model', 'config.json'],
    ['model', 'model.safetensors'],
    ['model', 'model.safetensors.index.json'],
    ['model', 'model-00001-of-00002.safetensors'],
    ['model', 'tokenizer.json'],
    ['model', 'sentencepiece.bpe.model'],
    ['data', 'data.jsonl'],
    ['data', 'data.tsv'],
    ['result', 'model.safetensors'],
    ['result', 'report.json'],
    ['result', 'espalier_model.py'],
    ['result', 'model.onnx'],
    ['result', 'model.onnx.data'],
  ] as const)
    it(`of a ${kind} may be ${name}`, () => {
      assert.equal(checkFileName(kind, name), name);
      assert.ok(isFileName(kind, name));
    });

  for (const name of [
    '',
    '.',
    '..',
    '../config.json',
    '/config.json',
    'a/config.json',
    'a\\config.json',
    'config.json\0',
    'config.json\n',
    'CONFIG.JSON',
    'pytorch_model.bin',
    'model-1-of-2.safetensors',
    'model-00001-of-00002.safetensors/../x',
    'xmodel-00001-of-00002.safetensors',
    'report.json',
    'data.jsonl',
    'constructor',
    'x'.repeat(5000),
  ])
    it(`of a model may not be ${JSON.stringify(name.slice(0, 40))}`, () => {
      assert.ok(!isFileName('model', name));
      assert.throws(() => checkFileName('model', name), {
        code: 'campaign_format',
        message: /^model file: got ".{0,170}", expected one of config\.json, /s,
      });
    });

  it('of data are of one format each', () => {
    for (const kind of ['data', 'model', 'result'] satisfies FileKind[])
      for (const name of ['data', 'data.json', 'train.jsonl', 'data.jsonl/', './data.jsonl', 'data.parquet'])
        assert.ok(!isFileName(kind, name), `${kind} ${name}`);
  });

  it('of a user become the one of their format', () => {
    assert.equal(dataFileName('/home/me/Train set.JSONL'), 'data.jsonl');
    assert.equal(dataFileName('dev.v2.tsv'), 'data.tsv');
    assert.equal(dataFileName('x.json-lines'), 'data.json-lines');
    assert.throws(() => dataFileName('train.parquet'), { code: 'data_format' });
    assert.throws(() => dataFileName('train'), { code: 'data_format' });
  });

  it('tell weights from what only coordinators read', () => {
    assert.ok(isWeightFile('model.safetensors') && isWeightFile('model-00002-of-00002.safetensors'));
    assert.ok(!isWeightFile('config.json') && !isWeightFile('model.safetensors.index.json'));
  });

  it('cover everything that a pruned model is written with', () => {
    const source = readFileSync(path.join(projectRoot(), 'checkpoint/write-pruned.ts'), 'utf8');
    const named = [...source.matchAll(/'([\w.]+\.(?:json|txt|model|py|safetensors))'/g)].map(([, name]) => name);
    assert.ok(named.length > 8);
    for (const name of named) assert.ok(isFileName('result', name), name);
  });
});
