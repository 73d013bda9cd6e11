import assert from 'node:assert/strict';
import { createHash, Hash } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { digestFile } from '../../../../shared/blobs/file-digest.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

describe('digestFile', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'espalier-digest-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('gives digest and size, also when asked again', async () => {
    const file = path.join(folder, 'a');
    writeFileSync(file, 'weights');
    for (let i = 0; i < 2; i++) assert.deepEqual(await digestFile(file), { digest: sha256('weights'), sizeBytes: 7 });
  });

  it('reads a file again that was written to, though it is as long and as old as before', async () => {
    const file = path.join(folder, 'b');
    writeFileSync(file, 'before');
    const time = new Date(0);
    utimesSync(file, time, time);
    assert.equal((await digestFile(file)).digest, sha256('before'));
    writeFileSync(file, 'behind');
    utimesSync(file, time, time);
    assert.equal((await digestFile(file)).digest, sha256('behind'));
  });

  it('reads another file under the same name', async () => {
    const file = path.join(folder, 'c');
    writeFileSync(file, 'first');
    assert.equal((await digestFile(file)).digest, sha256('first'));
    writeFileSync(`${file}.new`, 'other');
    renameSync(`${file}.new`, file);
    assert.equal((await digestFile(file)).digest, sha256('other'));
  });

  it('reads no file again for another link to it', async (test) => {
    const [file, link] = ['d', 'link'].map((name) => path.join(folder, name));
    writeFileSync(file, 'weights');
    symlinkSync(file, link);
    const reads = test.mock.method(Hash.prototype, 'update');
    for (const name of [file, link]) assert.equal((await digestFile(name)).digest, sha256('weights'));
    assert.equal(reads.mock.callCount(), 1 + 2, 'one for each digest that is expected');
  });

  it('fails as the file system does', async () => {
    await assert.rejects(digestFile(path.join(folder, 'none')), { code: 'ENOENT' });
  });
});
