// The real steps with the real compiler on stand-ins: libraries of one symbol and a package that answers as tfjs does.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ensure, isReady } from '../../setup/engine-binding.mjs';
import { librariesFolder } from '../../setup/engine-libraries.mjs';
import { copyNodeHeaders, preparedLibraries } from './compiled-libraries.mjs';
import { writeFiles } from './support.mjs';

const PACKAGE = 'node_modules/@tensorflow/tfjs-node-gpu';

/** Loads the binding as Node does, then claims this product. */
const packageThatComputes = (product) => `
  process.dlopen({ exports: {} }, require.resolve('./lib/napi-v8/tfjs_binding.node'));
  module.exports = {
    tensor2d: () => {}, matMul: () => ({ dataSync: () => [${product}] }), backend: () => ({ isUsingGpuDevice: false }),
  };`;

/** A module that Node accepts, calling into both libraries. */
const BINDING_SOURCE = `
  #include <node_api.h>
  extern "C" int tensorflow_cc();
  extern "C" int tensorflow_framework();
  extern "C" __attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env, napi_value exports) {
    return tensorflow_cc() + tensorflow_framework() == 2 ? exports : nullptr;
  }`;

async function prepare(t) {
  const { context, said, folder } = await preparedLibraries(t);
  addCheckout(context.root);
  return { context, said, folder };
}

function addCheckout(root) {
  copyNodeHeaders(root);
  writeFiles(root, {
    [`${PACKAGE}/package.json`]: '{"name":"@tensorflow/tfjs-node-gpu","main":"index.js"}',
    [`${PACKAGE}/index.js`]: packageThatComputes('19,22,43,50'),
    [`${PACKAGE}/binding/tfjs_backend.cc`]: '#include "tensorflow/c/c_api.h"\n',
    [`${PACKAGE}/binding/tfjs_binding.cc`]: BINDING_SOURCE,
    'setup/binding/engine-context.h': '#define OWN_HEADER\n',
    'setup/binding/engine-context.cc': '#ifndef OWN_HEADER\n#error "its header comes first"\n#endif\n',
  });
}

const compilations = (said) => said.filter((line) => line.startsWith('compiling')).length;

test('compiles, links, tries, and is ready', async (t) => {
  const { context, said } = await prepare(t);
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(await isReady(context), true);
  assert.equal(compilations(said), 1);
  assert.equal(fs.readlinkSync(path.join(context.root, PACKAGE, 'deps')), librariesFolder(context));
});

test('a second checkout takes the binding from the cache', async (t) => {
  const { context, said, folder } = await prepare(t);
  await ensure(context);
  const second = { ...context, root: path.join(folder, 'second') };
  addCheckout(second.root);
  await ensure(second);
  assert.equal(await isReady(second), true);
  assert.equal(compilations(said), 1);
});

test('other sources, a damaged copy or a damaged cache are noticed', async (t) => {
  const { context, said } = await prepare(t);
  await ensure(context);
  fs.truncateSync(path.join(context.root, PACKAGE, 'lib/napi-v8/tfjs_binding.node'), 10);
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(compilations(said), 1, 'copied again');

  const [key] = fs.readdirSync(path.join(context.cache, 'binding'));
  fs.truncateSync(path.join(context.cache, 'binding', key, 'tfjs_binding.node'), 10);
  await ensure(context);
  assert.equal(compilations(said), 2, 'compiled again');

  for (const source of [`${PACKAGE}/binding/tfjs_backend.cc`, 'setup/binding/engine-context.cc']) {
    const file = path.join(context.root, source);
    const before = fs.readFileSync(file);
    fs.writeFileSync(file, '// other\n');
    assert.equal(await isReady(context), false, source);
    fs.writeFileSync(file, before);
  }
});

test('a folder of libraries made by hand is replaced by the link', async (t) => {
  const { context } = await prepare(t);
  writeFiles(context.root, { [`${PACKAGE}/deps/lib/by-hand`]: '' });
  await ensure(context);
  assert.equal(fs.readlinkSync(path.join(context.root, PACKAGE, 'deps')), librariesFolder(context));
});

test('libraries that cannot be loaded are one clear line', async (t) => {
  const { context } = await prepare(t);
  await ensure(context);
  fs.rmSync(path.join(librariesFolder(context), 'lib/libtensorflow_framework.so.2'));
  await assert.rejects(ensure(context), {
    name: 'SetupProblem',
    message: /^the engine cannot be loaded: Error: libtensorflow_framework\.so\.2: cannot open shared object file/,
  });
  assert.equal(await isReady(context), false);
});

test('a wrong product is refused', async (t) => {
  const { context } = await prepare(t);
  writeFiles(context.root, { [`${PACKAGE}/index.js`]: packageThatComputes('19,22,43,51') });
  await assert.rejects(ensure(context), {
    message: /^the engine computes wrongly: got 19,22,43,51, expected 19,22,43,50$/,
  });
});

test('a source that does not compile is one clear line', async (t) => {
  const { context } = await prepare(t);
  writeFiles(context.root, { [`${PACKAGE}/binding/tfjs_backend.cc`]: 'int broken = ;\n' });
  await assert.rejects(ensure(context), {
    name: 'SetupProblem',
    message: /^compiling the binding failed: .*tfjs_backend\.cc:1:14: error: /,
  });
});
