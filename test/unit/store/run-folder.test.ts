import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { hasRunState, openRunFolder, type RunFolderOptions } from '../../../coordinator/store/run-folder.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';

const STEPS = ['sync', 'mark', 'move old aside', 'move new in place', 'remove old', 'remove state', 'done'];

describe('run folder', () => {
  let parent = '';
  let out = '';
  let notices: string[] = [];
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'espalier-run-'));
    out = join(parent, 'out');
    notices = [];
  });
  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  const open = (options: Partial<RunFolderOptions> = {}) =>
    openRunFolder({
      out,
      force: false,
      resume: false,
      fingerprint: { seed: 1, model: { digest: 'aa' } },
      onNotice: (text) => notices.push(text),
      ...options,
    });

  it('keeps what stages stored for a resumed run', async () => {
    const first = await open();
    assert.equal(await first.has('fisher'), false);
    const data = Float64Array.of(0.1, -0, 3e300);
    await first.writeTensors('fisher', [{ name: 'sum', dtype: 'F64', shape: [3], data }], { rows: 64 });
    await first.writeJson('search/0.5', { layers: [1, 2.5], none: null });
    await first.close();
    assert.equal(await hasRunState(out), true);
    const second = await open({ resume: true });
    assert.equal(await second.has('fisher'), true);
    const stored = await second.readTensors('fisher');
    assert.deepEqual(stored?.tensors.get('sum')?.data, data);
    assert.deepEqual(stored?.meta, { rows: 64 });
    assert.deepEqual(await second.readJson('search/0.5'), { layers: [1, 2.5], none: null });
    assert.equal(await second.readJson('search/0.6'), null);
    await second.abandon();
    assert.deepEqual(readdirSync(parent), []);
    assert.deepEqual(notices, []);
  });

  it('starts over without --resume', async () => {
    const first = await open();
    await first.writeJson('fisher', 1);
    await first.close();
    const second = await open();
    assert.equal(await second.has('fisher'), false);
    await second.abandon();
  });

  for (const [what, damage] of [
    ['cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 3)],
    ['empty', () => Buffer.alloc(0)],
    ['of one changed bit', (bytes: Buffer) => Buffer.from(bytes.map((b, i) => (i === bytes.length - 4 ? b ^ 1 : b)))],
  ] as const)
    it(`counts state that is ${what} as missing and tells of it`, async () => {
      const folder = await open();
      await folder.writeJson('plan', { order: [1, 2, 3] });
      await folder.writeTensors('fisher', [{ name: 'sum', dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]);
      const stages = join(parent, '.out.espalier/stages');
      const tensors = readdirSync(stages).find((name) => /^fisher\.[0-9a-f]{16}\.safetensors$/.test(name));
      for (const file of ['plan.json', String(tensors)]) {
        const path = join(stages, file);
        writeFileSync(path, damage(readFileSync(path)));
      }
      assert.equal(await folder.readJson('plan'), null);
      assert.equal(await folder.readTensors('fisher'), null);
      assert.deepEqual(notices, [
        'stored plan is damaged and is computed again',
        'stored fisher is damaged and is computed again',
      ]);
      await folder.abandon();
    });

  it('keeps the tensors before when a kill comes between new ones and their record', async () => {
    const folder = await open();
    const sum = (value: number): NamedTensor => ({
      name: 'sum',
      dtype: 'F32',
      shape: [1],
      data: Float32Array.of(value),
    });
    await folder.writeTensors('tune', [sum(1)], { solved: 1 });
    const stages = join(parent, '.out.espalier/stages');
    const record = readFileSync(join(stages, 'tune.tensors.json'));
    const files = readdirSync(stages);
    await folder.writeTensors('tune', [sum(2)], { solved: 2 });
    assert.equal(readdirSync(stages).length, files.length, 'what was replaced is removed');
    assert.deepEqual((await folder.readTensors('tune'))?.meta, { solved: 2 });
    // As a kill after the tensors of the third write leaves it: its tensors, the record of the second.
    const second = readFileSync(join(stages, 'tune.tensors.json'));
    assert.notDeepEqual(second, record);
    const kept = readdirSync(stages).find((name) => name.endsWith('.safetensors'));
    const bytes = readFileSync(join(stages, String(kept)));
    await folder.writeTensors('tune', [sum(3)], { solved: 3 });
    writeFileSync(join(stages, String(kept)), bytes);
    writeFileSync(join(stages, 'tune.tensors.json'), second);
    const found = await folder.readTensors('tune');
    assert.deepEqual(found?.meta, { solved: 2 });
    assert.deepEqual(found?.tensors.get('sum')?.data, Float32Array.of(2));
    await folder.abandon();
  });

  it('refuses names that leave the folder and numbers that JSON cannot hold', async () => {
    const folder = await open();
    for (const name of ['../x', '/x', 'a//b', 'A', '', '.x', 'a/../b'])
      await assert.rejects(folder.writeJson(name, 1), { code: 'internal' });
    await assert.rejects(folder.writeJson('x', { loss: Number.NaN }), RangeError);
    await folder.abandon();
  });

  it('refuses to resume nothing, or a run that differs', async () => {
    await assert.rejects(open({ resume: true }), {
      code: 'resume_mismatch',
      message: `${out}: no earlier run that this version can resume`,
      action: 'run again without --resume',
    });
    await (await open()).close();
    await assert.rejects(open({ resume: true, fingerprint: { model: { digest: 'bb' }, seed: 2, extra: true } }), {
      code: 'resume_mismatch',
      message:
        `${out}: the earlier run differs: extra: got true, expected nothing, ` +
        'model.digest: got "bb", expected "aa", seed: got 2, expected 1',
    });
    await (await open({ resume: true, fingerprint: { model: { digest: 'aa' }, seed: 1 } })).abandon();
  });

  it('refuses an output that exists, or that another run writes', async () => {
    const folder = await open();
    await assert.rejects(open(), { code: 'output_locked' });
    await folder.close();
    mkdirSync(out);
    await assert.rejects(open(), { code: 'output_exists', message: `${out}: already exists` });
    assert.equal(await hasRunState(out), true, 'a refused run leaves the state of another alone');
  });

  it('refuses a place that cannot be written, and too little space', async () => {
    writeFileSync(join(parent, 'file'), '');
    await assert.rejects(open({ out: join(parent, 'file/deeper/out') }), { code: 'output_unwritable' });
    await assert.rejects(open({ out: '/proc/espalier/out' }), { code: 'output_unwritable' });
    const folder = await open({ out: join(parent, 'made/on/the/way') });
    await folder.requireSpace(1);
    await assert.rejects(folder.requireSpace(1e18), { code: 'disk_full', message: /: needs 1000000000000\.0 MB, / });
    await folder.abandon();
  });

  it('writes staged files afresh in a resumed run and commits them by budget', async () => {
    const first = await open();
    writeFileSync(join(await first.staging('0.5'), 'half'), 'written');
    await first.close();
    const second = await open({ resume: true });
    const staging = await second.staging('0.5');
    assert.deepEqual(readdirSync(staging), []);
    writeFileSync(join(staging, 'model'), 'whole');
    await second.commit();
    assert.deepEqual(readdirSync(parent), ['out']);
    assert.equal(readFileSync(join(out, '0.5/model'), 'utf8'), 'whole');
  });

  it('keeps both outputs apart when one appears during the run', async () => {
    const folder = await open();
    await folder.staging('0.5');
    mkdirSync(out);
    await assert.rejects(folder.commit(), { code: 'output_exists', message: `${out}: appeared during the run` });
    await folder.close();
    assert.deepEqual(readdirSync(out), []);
    assert.equal(await hasRunState(out), true);
  });

  for (const force of [true, false])
    for (const step of STEPS)
      it(`leaves the old output or the new one when killed before "${step}"${force ? ' with force' : ''}`, async () => {
        if (force) {
          mkdirSync(out);
          writeFileSync(join(out, 'model'), 'old');
        }
        const child = new URL('./commit-child.js', import.meta.url).pathname;
        const { signal, stdout } = spawnSync(process.execPath, [child, out, force ? 'force' : '', step]);
        if (!force && step === 'move old aside') return assert.equal(signal, null, 'there is nothing to move aside');
        assert.equal(signal, 'SIGKILL', String(stdout));
        const replaced = STEPS.indexOf(step) > STEPS.indexOf('move new in place');
        if (step !== 'move new in place') assert.equal(outputState(out), replaced ? 'new' : force ? 'old' : 'none');
        // Whoever opens the folder next finds the old output or the new one, never neither where there was one.
        if (!replaced) await (await open({ resume: true, force, fingerprint: { seed: 1 } })).close();
        else await assert.rejects(open(), { code: 'output_exists' });
        assert.equal(outputState(out), replaced ? 'new' : force ? 'old' : 'none');
        assert.equal(await hasRunState(out), !replaced);
      });
});

/** What the output holds; anything but whole fails. */
function outputState(out: string): 'none' | 'old' | 'new' {
  if (!existsSync(out)) return 'none';
  const names = readdirSync(out).sort();
  if (names.includes('model')) {
    assert.deepEqual(names, ['model']);
    return 'old';
  }
  assert.deepEqual(names, ['0.5', '0.6']);
  for (const name of names) assert.equal(readFileSync(join(out, name, 'model'), 'utf8'), 'new');
  return 'new';
}
