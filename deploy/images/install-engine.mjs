// Installs the engine for the image of a worker as the set-up of a checkout does, and puts what a worker loads of it into the
// image: the binding, the library of own operations, TensorFlow's libraries and, for a GPU, those of CUDA, in the folders where
// those two look for them.
//
// usage: ESPALIER_DEVICE=cpu|gpu node deploy/images/install-engine.mjs FOLDER      FOLDER becomes /opt/espalier

import fs from 'node:fs';
import path from 'node:path';
import * as engineBinding from '../../setup/engine-binding.mjs';
import * as engineLibraries from '../../setup/engine-libraries.mjs';
import * as engineOps from '../../setup/engine-ops.mjs';
import * as npmDependencies from '../../setup/npm-dependencies.mjs';
import { runProgram } from '../../setup/program.mjs';
import { setUp } from '../../setup/set-up.mjs';

const PACKAGE = path.join('node_modules', '@tensorflow', 'tfjs-node-gpu');
// Of NVIDIA's wheels: whole other interfaces, and a second build of a compiler, that no library of these opens or names.
const NEVER_OPENED = /\/lib(cusolverMg|nvblas|cufftw|nvrtc\.alt|nvrtc-builtins\.alt)\.so/;
const ADDONS = ['tfjs_binding.node', 'espalier_ops.node'].map((name) => path.join('lib', 'napi-v8', name));

const [out] = process.argv.slice(2);
await runProgram(async (context) => {
  await setUp(context, [npmDependencies, engineLibraries, engineBinding, engineOps]);
  const from = path.join(context.root, PACKAGE);
  const to = path.join(out, PACKAGE);
  for (const name of ['package.json', ...ADDONS]) copy(path.join(from, name), path.join(to, name));
  const libraries = engineLibraries.librariesFolder(context);
  for (const name of fs.readdirSync(libraries, { recursive: true }))
    if (/\.so(\.|$)/.test(name) && !NEVER_OPENED.test(name))
      move(path.join(libraries, name), path.join(to, 'deps', name));
  return 0;
});

function copy(from, to) {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.copyFileSync(from, to);
}

/** Gigabytes, which the stage that builds needs no more. */
function move(from, to) {
  fs.mkdirSync(path.dirname(to), { recursive: true });
  fs.renameSync(from, to);
}
