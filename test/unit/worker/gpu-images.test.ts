// Where the code of the own operations for a GPU comes from, and that the PTX in the repository is of the sources beside it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { projectRoot } from '../../../shared/project-root.ts';
import { gpuImages } from '../../../worker/engine/kernels/gpu-images.ts';

const NATIVE = path.join(projectRoot(), 'worker/engine/native');

function fakeLibrary(source = 'kernels') {
  const asked: string[] = [];
  return {
    asked,
    computeCapability: () => 90,
    kernelSource: () => Buffer.from(source),
    kernelPtx: () => gzipSync('ptx'),
    compileKernels: (architecture: string) => {
      asked.push(architecture);
      return Buffer.from(`cubin of ${source}`);
    },
  };
}

test('what NVRTC made and proved right is there at the next start, until the sources change', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'espalier-images-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const library = fakeLibrary();
  const [cached, compiled, ptx] = gpuImages(library, folder);
  assert.deepEqual([cached.origin, compiled.origin, ptx.origin], ['cache', 'NVRTC', 'PTX']);
  assert.throws(() => cached.image(), { code: 'ENOENT' });
  const image = compiled.image();
  assert.deepEqual(library.asked, ['sm_90']);
  assert.deepEqual(readdirSync(folder), [], 'nothing is kept before it has proved right');
  compiled.keep(image);
  assert.equal(gpuImages(library, folder)[0].image().toString(), 'cubin of kernels');
  assert.throws(() => gpuImages(fakeLibrary('others'), folder)[0].image(), { code: 'ENOENT' });
  assert.equal(ptx.image().toString(), 'ptx\0');
});

test('a cache that cannot be written is no failure', (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'espalier-images-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'a file');
  writeFileSync(file, '');
  const [, compiled] = gpuImages(fakeLibrary(), path.join(file, 'below'));
  compiled.keep(compiled.image());
});

test('the PTX is that of the sources', () => {
  const text = gunzipSync(readFileSync(path.join(NATIVE, 'gpu/kernels.ptx.gz'))).toString();
  const [, made] = /^\/\/ sources ([0-9a-f]{64})\n/.exec(text) ?? [];
  const included = readFileSync(path.join(NATIVE, 'gpu/source.cc'), 'utf8').matchAll(/\.incbin "(.*\.cu)"/g);
  const sources = Array.from(included, ([, name]) => readFileSync(path.join(NATIVE, name)));
  assert.equal(sources.length, readdirSync(path.join(NATIVE, 'gpu')).filter((name) => name.endsWith('.cu')).length);
  const right = createHash('sha256').update(Buffer.concat(sources)).digest('hex');
  assert.equal(made, right, 'made before the last change of a .cu file: see worker/engine/native/make-ptx.mjs');
});
