// The real step with the real compiler on stand-ins: libraries of one symbol, sources of a few lines, a binding that tells a
// version.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { librariesFolder } from '../../setup/engine-libraries.mjs';
import { ensure, isReady } from '../../setup/engine-ops.mjs';
import { copyNodeHeaders, preparedLibraries } from './compiled-libraries.mjs';
import { writeFiles } from './support.mjs';

const PACKAGE = 'node_modules/@tensorflow/tfjs-node-gpu';
const FOLDER = `${PACKAGE}/lib/napi-v8`;
const ADDON = `${FOLDER}/espalier_ops.node`;

/** Calls into both libraries, with a part of its text taken in by the assembler. */
const ADDON_SOURCE = `
  #include <node_api.h>
  #include "part/answer.h"
  #include "tensorflow/c/c_api.h"
  asm(".section .rodata\\n.global part_text\\npart_text: .incbin \\"part/kernel.cu\\"\\n.byte 0\\n.text");
  extern "C" const char part_text[];
  extern "C" int tensorflow_cc();
  extern "C" int tensorflow_framework();
  NAPI_MODULE_INIT() {
    if (part_text[0] != 'k' || tensorflow_cc() + tensorflow_framework() != answer()) return nullptr;
    napi_value version;
    napi_create_string_utf8(env, ESPALIER_TENSORFLOW_VERSION, NAPI_AUTO_LENGTH, &version);
    napi_set_named_property(env, exports, "tensorflowVersion", version);
    return exports;
  }`;

async function prepare(t) {
  const { context, said, folder } = await preparedLibraries(t);
  addCheckout(context);
  said.length = 0;
  return { context, said, folder };
}

function addCheckout(context, version = '1.0') {
  copyNodeHeaders(context.root);
  writeFiles(context.root, {
    // Node takes a file of any other ending for JavaScript; the binding is a link to one.
    [`${PACKAGE}/version.js`]: `exports.TF_Version = '${version}';`,
    [`${PACKAGE}/package.json`]: '{"name":"@tensorflow/tfjs-node-gpu"}',
    'worker/engine/native/addon.cc': ADDON_SOURCE,
    'worker/engine/native/part/answer.h': 'int answer();\n',
    'worker/engine/native/part/answer.cc': 'int answer() { return 2; }\n',
    'worker/engine/native/part/kernel.cu': 'kernel',
  });
  fs.mkdirSync(path.join(context.root, FOLDER), { recursive: true });
  fs.symlinkSync(librariesFolder(context), path.join(context.root, PACKAGE, 'deps'));
  fs.symlinkSync('../../version.js', path.join(context.root, FOLDER, 'tfjs_binding.node'));
}

const compilations = (said) => said.filter((line) => line.startsWith('compiling the operations (')).length;
const sourceOf = (context) => path.join(context.root, 'worker/engine/native/part/answer.cc');
const withoutCompiler = (context) => ({ ...context, env: { ...context.env, PATH: '/nowhere' } });

test('compiles all units, tries the library, and is ready', async (t) => {
  const { context, said } = await prepare(t);
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(await isReady(context), true);
  assert.deepEqual(said, ['compiling the operations (about half a minute, once for this user)']);
});

test('a second checkout takes the library from the cache', async (t) => {
  const { context, said, folder } = await prepare(t);
  await ensure(context);
  const second = { ...context, root: path.join(folder, 'second') };
  addCheckout(second);
  await ensure(second);
  assert.equal(await isReady(second), true);
  assert.equal(compilations(said), 1);
});

test('other sources, a damaged copy or a damaged cache are noticed', async (t) => {
  const { context, said } = await prepare(t);
  await ensure(context);
  fs.truncateSync(path.join(context.root, ADDON), 10);
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(compilations(said), 1, 'copied again');

  const [key] = fs.readdirSync(path.join(context.cache, 'ops'));
  fs.truncateSync(path.join(context.cache, 'ops', key, 'espalier_ops.node'), 10);
  await ensure(context);
  assert.equal(compilations(said), 2, 'compiled again');

  fs.appendFileSync(path.join(context.root, 'worker/engine/native/part/kernel.cu'), ' changed');
  assert.equal(await isReady(context), false, 'a file that only the assembler reads');
});

test('sources that do not compile are one line, and are not compiled again before they change', async (t) => {
  const { context, said } = await prepare(t);
  fs.writeFileSync(sourceOf(context), 'int answer() { return ; }\n');
  await ensure(context);
  assert.match(said.at(-1), /^compiling the operations failed: .*answer\.cc:1:.* error: .*; the engine does without/);
  assert.equal(fs.existsSync(path.join(context.root, ADDON)), false);
  assert.equal(await isReady(context), true);
  fs.writeFileSync(sourceOf(context), 'int answer() { return 2; }\n');
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(fs.existsSync(path.join(context.root, ADDON)), true);
  assert.equal(await isReady(context), true);
});

test('without a compiler there is no library, until there is a compiler', async (t) => {
  const { context, said } = await prepare(t);
  await ensure(withoutCompiler(context));
  assert.match(said.at(-1), /^missing: g\+\+; on Debian: apt-get install g\+\+; the engine does without/);
  assert.equal(await isReady(withoutCompiler(context)), true);
  assert.equal(await isReady(context), false);
});

test('a library that was made stays when the compiler goes', async (t) => {
  const { context } = await prepare(t);
  await ensure(context);
  assert.equal(await isReady(withoutCompiler(context)), true);
});

test('a library that cannot be loaded, or was made for another TensorFlow, does not stay', async (t) => {
  const { context, said } = await prepare(t);
  fs.writeFileSync(sourceOf(context), 'int answer() { return 3; }\n');
  await ensure(context);
  assert.match(said.at(-1), /^the operations cannot be loaded: .*; the engine does without/);
  assert.equal(fs.existsSync(path.join(context.root, ADDON)), false);

  fs.writeFileSync(sourceOf(context), 'int answer() { return 2; }\n');
  fs.writeFileSync(path.join(context.root, PACKAGE, 'version.js'), 'exports.TF_Version = "1.1";');
  await ensure(context);
  assert.match(said.at(-1), /^the operations cannot be loaded: Error: compiled for TensorFlow 1\.0, got 1\.1; /);
  assert.equal(await isReady(context), true);
});
