import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { refuseLinkedInputs } from '../../../cli/output-inputs.ts';

describe('refuseLinkedInputs', () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'espalier-links-')));
  after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'models/bert'), { recursive: true });
  mkdirSync(join(folder, 'work'));
  writeFileSync(join(folder, 'models/train.csv'), '');
  writeFileSync(join(folder, 'dev.csv'), '');
  for (const [link, target] of [
    ['bert', 'models/bert'],
    ['train.csv', 'models/train.csv'],
    ['store', 'models'],
  ])
    symlinkSync(target, join(folder, link));
  const check = (out: string, changes: { model?: string; data?: string; evaluation?: string } = {}) =>
    refuseLinkedInputs({ out, model: 'elsewhere', data: 'dev.csv', evaluation: null, ...changes }, folder);

  for (const [out, changes, held] of [
    ['models/bert', { model: 'bert' }, 'the model'],
    ['models', { model: 'bert' }, 'the model'],
    ['store', { model: 'models/bert' }, 'the model'],
    ['models', { data: 'train.csv' }, '--data'],
    ['models', { evaluation: 'train.csv' }, '--eval'],
  ] as const)
    it(`refuses ${out} with ${JSON.stringify(changes)}`, async () => {
      const message = `--out: got ${out}, expected a folder that does not hold ${held}`;
      await assert.rejects(check(out, changes), { code: 'usage', message });
    });

  it('lets pass what holds no input, whether it is there or not', async () => {
    await check('work', { model: 'bert', data: 'train.csv' });
    await check('new', { model: 'bert', data: 'train.csv' });
    await check('store/bert/pruned', { model: 'bert' });
  });
});
