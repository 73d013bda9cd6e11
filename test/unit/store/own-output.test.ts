import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PAGE_MARK } from '../../../coordinator/report/page-mark.ts';
import { requireReplaceable } from '../../../coordinator/store/own-output.ts';

describe('what --force may replace', () => {
  let parent = '';
  before(async () => {
    parent = await mkdtemp(path.join(tmpdir(), 'espalier-own-'));
  });
  after(() => rm(parent, { recursive: true }));

  const pruned = async (folder: string) => {
    await mkdir(folder, { recursive: true });
    for (const name of ['config.json', 'masks.json', 'report.json', 'model.safetensors'])
      await writeFile(path.join(folder, name), '');
  };

  it('is nothing, an empty folder, and a folder of pruned models', async () => {
    await requireReplaceable(path.join(parent, 'absent'));
    await mkdir(path.join(parent, 'empty'));
    await requireReplaceable(path.join(parent, 'empty'));
    await pruned(path.join(parent, 'runs/0.5'));
    await pruned(path.join(parent, 'runs/0.3'));
    await writeFile(path.join(parent, 'runs/report.html'), `${PAGE_MARK}<head></head></html>\n`);
    await requireReplaceable(path.join(parent, 'runs'));
  });

  it('is no folder with anything else in it, and no file', async () => {
    await pruned(path.join(parent, 'mixed/0.5'));
    await mkdir(path.join(parent, 'mixed/thesis'));
    await writeFile(path.join(parent, 'file'), '');
    const action = 'move it away or choose another --out';
    await assert.rejects(requireReplaceable(path.join(parent, 'mixed')), {
      code: 'output_exists',
      message: /mixed: got thesis, expected nothing but/,
      action,
    });
    await pruned(path.join(parent, 'noted/0.5'));
    await writeFile(path.join(parent, 'noted/report.html'), '<!doctype html>\n<p>mine');
    await assert.rejects(requireReplaceable(path.join(parent, 'noted')), {
      code: 'output_exists',
      message: /noted: got report\.html, expected nothing but/,
      action,
    });
    await assert.rejects(requireReplaceable(path.join(parent, 'file')), {
      code: 'output_exists',
      message: /file: got a file/,
      action,
    });
  });
});
