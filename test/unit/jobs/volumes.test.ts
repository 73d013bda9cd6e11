// From a job's words to files of a volume: only what folders list, and nothing outside, whatever links say.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { volumeFiles } from '../../../coordinator/jobs/volumes.ts';

let folder = '';
let volumes: ReadonlyMap<string, string>;
const at = (...names: string[]) => path.join(folder, ...names);

before(() => {
  folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'espalier-volumes-')));
  mkdirSync(at('root/models/bert'), { recursive: true });
  mkdirSync(at('root/data'));
  mkdirSync(at('root/blobs'));
  mkdirSync(at('rootbeside'));
  mkdirSync(at('outside'));
  for (const name of ['config.json', 'vocab.txt', 'README.md', 'run.sh'])
    writeFileSync(at('root/models/bert', name), name);
  writeFileSync(at('root/blobs/ab12'), 'weights');
  symlinkSync('../../blobs/ab12', at('root/models/bert/model.safetensors'));
  writeFileSync(at('root/data/train v2.tsv'), 'a\tb\n');
  writeFileSync(at('outside/train.jsonl'), '{}');
  writeFileSync(at('outside/config.json'), '{}');
  writeFileSync(at('rootbeside/train.jsonl'), '{}');
  symlinkSync(at('outside'), at('root/out'));
  symlinkSync(at('outside/train.jsonl'), at('root/data/link.jsonl'));
  symlinkSync(at('rootbeside/train.jsonl'), at('root/data/beside.jsonl'));
  symlinkSync(at('root/data/nowhere'), at('root/data/dangling.jsonl'));
  mkdirSync(at('root/models/leaking'));
  symlinkSync(at('outside/config.json'), at('root/models/leaking/config.json'));
  symlinkSync(at('root'), at('mounted'));
  volumes = new Map([
    ['shared', at('root')],
    ['linked', at('mounted')],
    ['gone', at('not-mounted')],
  ]);
});

after(() => rmSync(folder, { recursive: true, force: true }));

const files = (kind: 'model' | 'data', volume: string, ...segments: string[]) =>
  volumeFiles(volumes, { kind: 'volume', volume, path: segments }, kind);

describe('a volume', () => {
  it('gives the files of a model that are on the list, with links within it followed', async () => {
    for (const volume of ['shared', 'linked'])
      assert.deepEqual(await files('model', volume, 'models', 'bert'), [
        { name: 'config.json', path: at('root/models/bert/config.json') },
        { name: 'model.safetensors', path: at('root/blobs/ab12') },
        { name: 'vocab.txt', path: at('root/models/bert/vocab.txt') },
      ]);
  });

  it('gives a data file under the name of its format', async () => {
    assert.deepEqual(await files('data', 'shared', 'data', 'train v2.tsv'), [
      { name: 'data.tsv', path: at('root/data/train v2.tsv') },
    ]);
  });

  for (const segment of [
    ...['..', '.', '', '/', '/etc', 'a/b', '../outside', 'data/../..', 'a\\b', 'a\0', 'x'.repeat(256), 'ü'.repeat(128)],
  ])
    it(`has no part of a path that is ${JSON.stringify(segment.slice(0, 20))}`, async () => {
      const expected = {
        code: 'campaign_format',
        message: `shared: got ${JSON.stringify(segment.slice(0, 80))} in a path, expected the name of a file or folder`,
      };
      await assert.rejects(files('model', 'shared', segment), expected);
      await assert.rejects(files('data', 'shared', 'data', segment, 'train.jsonl'), expected);
    });

  it('has no part of a path that is no text', async () => {
    for (const segment of [null, 7, {}, ['..']])
      await assert.rejects(files('model', 'shared', segment as unknown as string), { code: 'campaign_format' });
  });

  it('has no paths of any length', async () => {
    const long = Array.from({ length: 33 }, () => 'models');
    await assert.rejects(files('model', 'shared', ...long), { code: 'campaign_format' });
    await assert.rejects(files('data', 'shared'), { code: 'campaign_format' });
  });

  for (const [what, segments, label] of [
    ['a linked folder', ['out', 'train.jsonl'], 'shared/out'],
    ['a linked file', ['data', 'link.jsonl'], 'shared/data/link.jsonl'],
    ['a linked file of a folder whose name begins like its own', ['data', 'beside.jsonl'], 'shared/data/beside.jsonl'],
  ] as const)
    it(`ends where it ends: ${what}`, async () => {
      await assert.rejects(files('data', 'shared', ...segments), {
        code: 'campaign_format',
        message: `${label}: got a link that leads out of the volume`,
      });
    });

  it('ends where it ends: a linked file in a model', async () => {
    await assert.rejects(files('model', 'shared', 'models', 'leaking'), {
      code: 'campaign_format',
      message: 'shared/models/leaking/config.json: got a link that leads out of the volume',
    });
  });

  it('says what is not there', async () => {
    await assert.rejects(files('model', 'shared', 'models', 'none'), {
      code: 'model_not_found',
      message: 'shared/models/none: not found',
    });
    for (const name of ['none.jsonl', 'dangling.jsonl', 'TRAIN V2.TSV'])
      await assert.rejects(files('data', 'shared', 'data', name), { code: 'data_not_found' }, name);
    await assert.rejects(files('data', 'shared', 'data'), { code: 'data_not_found' });
    await assert.rejects(files('model', 'shared', 'data', 'train v2.tsv'), { code: 'model_not_found' });
    await assert.rejects(files('data', 'shared', 'models', 'bert', 'run.sh'), { code: 'data_format' });
  });

  it('is one of those that the operator named, and mounted', async () => {
    await assert.rejects(files('model', '../root', 'models'), {
      code: 'campaign_format',
      message: 'volume: got "../root", expected one of: gone, linked, shared',
    });
    await assert.rejects(files('model', 'gone', 'models'), { code: 'output_unwritable', message: /^volume gone: / });
  });
});
