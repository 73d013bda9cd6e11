import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ensure, ensureHeaders, isReady, librariesFolder } from '../../setup/engine-libraries.mjs';
import { SetupProblem } from '../../setup/problem.mjs';
import { fakeContext, fakeEngine, temporaryFolder } from './support.mjs';

const LIBRARY = 'lib/libtensorflow_cc.so.2';

async function installed(t) {
  const folder = temporaryFolder(t);
  const made = fakeContext(folder, fakeEngine(folder));
  await ensure(made.context);
  return { ...made, home: librariesFolder(made.context) };
}

test('unpacks the libraries and headers, and nothing else', async (t) => {
  const { context, home, fetched } = await installed(t);
  assert.equal(fs.readFileSync(path.join(home, LIBRARY), 'utf8'), 'the library');
  assert.equal(fs.readFileSync(path.join(home, 'include/tensorflow/c/c_api.h'), 'utf8'), '// header');
  assert.deepEqual(fs.readdirSync(home).sort(), ['headers.json', 'include', 'lib', 'libraries.json']);
  assert.deepEqual(fs.readdirSync(path.dirname(home)), [path.basename(home)], 'no lock, no scratch folder');
  assert.match(path.basename(home), /^cpu-1\.0-[0-9a-f]{12}$/);
  assert.equal(await isReady(context), true);
  assert.deepEqual(fetched, ['fake']);
});

test('a second set-up downloads nothing', async (t) => {
  const { context, fetched } = await installed(t);
  await ensure(context);
  assert.deepEqual(fetched, ['fake']);
});

for (const [what, damage] of [
  ['truncated', (file) => fs.truncateSync(file, 3)],
  ['changed in place', (file) => fs.writeFileSync(file, 'the LIBRARY')],
  ['removed', (file) => fs.rmSync(file)],
]) {
  test(`a library that was ${what} is noticed and made again`, async (t) => {
    const { context, home, fetched, said } = await installed(t);
    damage(path.join(home, LIBRARY));
    assert.equal(await isReady(context), false);
    await ensure(context);
    assert.equal(fs.readFileSync(path.join(home, LIBRARY), 'utf8'), 'the library');
    assert.equal(fetched.length, 2);
    assert.ok(said.some((line) => line.startsWith('the cached libraries are damaged (lib/libtensorflow_cc.so.2')));
  });
}

test('a library with only a new time is hashed, not downloaded again', async (t) => {
  const { context, home, fetched } = await installed(t);
  fs.utimesSync(path.join(home, LIBRARY), 1, 1);
  assert.equal(await isReady(context), true);
  assert.equal(fetched.length, 1);
});

test('a damaged header is repaired before something is compiled', async (t) => {
  const { context, home } = await installed(t);
  const header = path.join(home, 'include/tensorflow/c/c_api.h');
  fs.rmSync(header);
  assert.equal(await isReady(context), true, 'headers are not looked at in every start');
  await ensureHeaders(context);
  assert.equal(fs.readFileSync(header, 'utf8'), '// header');
});

test('a corrupt download is made once more, past the cache of pip', async (t) => {
  const folder = temporaryFolder(t);
  const fake = fakeEngine(folder);
  const tries = [];
  const { context } = fakeContext(folder, fake, {
    fetchWheel: async (_wheel, target, { fresh }) => {
      tries.push(fresh);
      const file = path.join(target, 'fake.whl');
      fs.writeFileSync(file, fresh ? fs.readFileSync(fake.file) : 'half a whe');
      return file;
    },
  });
  await ensure(context);
  assert.deepEqual(tries, [false, true]);
  assert.equal(await isReady(context), true);
});

test('a download that stays corrupt installs nothing and says both sums', async (t) => {
  const folder = temporaryFolder(t);
  const fake = fakeEngine(folder);
  const { context } = fakeContext(folder, fake);
  const pinned = 'f'.repeat(64);
  const engine = { ...fake.engine, wheels: [{ ...fake.engine.wheels[0], sha256: pinned }] };
  const wrong = { ...context, engine };
  await assert.rejects(ensure(wrong), (error) => {
    assert.ok(error instanceof SetupProblem);
    assert.match(
      error.message,
      new RegExp(`^fake 1\\.0: got SHA-256 ${fake.engine.wheels[0].sha256}, expected ${pinned};`),
    );
    return true;
  });
  assert.deepEqual(fs.readdirSync(path.dirname(librariesFolder(wrong))), []);
});

test('what a killed set-up left behind is removed', async (t) => {
  const { context, home } = await installed(t);
  fs.mkdirSync(`${home}.part-1/lib`, { recursive: true });
  fs.rmSync(path.join(home, 'libraries.json'));
  await ensure(context);
  assert.deepEqual(fs.readdirSync(path.dirname(home)), [path.basename(home)]);
});

test('two set-ups at once download once, and the second says that it waits', async (t) => {
  const folder = temporaryFolder(t);
  const fake = fakeEngine(folder);
  let release;
  const gate = new Promise((resolve) => {
    release = resolve;
  });
  const first = fakeContext(folder, fake);
  const slow = {
    ...first.context,
    fetchWheel: async (...args) => {
      await gate;
      return first.context.fetchWheel(...args);
    },
  };
  const second = fakeContext(folder, fake, {
    say: (line) => {
      assert.match(line, /^waiting for process \d+, which is installing the same libraries$/);
      release();
    },
  });
  await Promise.all([ensure(slow), ensure(second.context)]);
  assert.deepEqual([first.fetched.length, second.fetched.length], [1, 0]);
  assert.equal(await isReady(second.context), true);
});
