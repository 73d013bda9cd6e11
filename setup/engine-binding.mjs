// Owns the native binding between Node and TensorFlow: the sources that come inside @tensorflow/tfjs-node-gpu, compiled with
// those of binding/ (which see) against the libraries of engine-libraries.mjs. Compiled bindings are kept in the per-user
// cache, keyed by everything that went into them; the package gets a copy in lib/napi-v8/ and a link `deps` to the libraries,
// where its run-time search path ($ORIGIN/../../deps) finds them. The stamp beside the copy is written only after a product
// was right.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { describeCompiler, ensureCompiled, readStamp, replaceFile, writeStamp } from './compiled-addon.mjs';
import { ensureHeaders, librariesFolder } from './engine-libraries.mjs';
import { SetupProblem } from './problem.mjs';
import { capture, tellingLine } from './run-command.mjs';

export const title = 'engine binding';
export const tools = ['g++'];

// nodelete: Node unloads a binding with the last thread that uses it, TensorFlow's own threads still run in it, and the
// process crashes.
// NDEBUG as in TensorFlow's wheels, whose classes are shared in memory.
const FLAGS = [
  ...['-O2', '-shared', '-fPIC', '-std=c++17', '-Wl,-z,nodelete', '-w'],
  ...['-DNDEBUG', '-DEIGEN_MAX_ALIGN_BYTES=64'],
  ...['-DNAPI_VERSION=8', '-DBUILDING_NODE_EXTENSION'],
];
const TENSORFLOW = ['lib/libtensorflow_cc.so.2', 'lib/libtensorflow_framework.so.2'];
const BINDING = 'tfjs_binding.node';
/** Included before the package's sources, and compiled with them. */
const OWN_HEADER = 'engine-context.h';
const MANIFEST = 'binding.json';

// Run in a child process: a binding that crashes must not take set-up with it.
const TRIAL = `
const tf = require('@tensorflow/tfjs-node-gpu');
const product = tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2]));
console.log(JSON.stringify({ product: [...product.dataSync()], gpu: tf.backend().isUsingGpuDevice }));`;

/** True when the package holds a tried binding that was made from these libraries and sources with this compiler. */
export async function isReady(context) {
  const places = findPlaces(context);
  if (!fs.existsSync(places.sources) || readLink(places.deps) !== librariesFolder(context)) return false;
  const stamp = readStamp(places.stamp, places.binding);
  if (stamp === undefined) return false;
  // Without a compiler the one that made the binding is taken on trust.
  const compiler = (await describeCompiler(context)) ?? stamp.compiler;
  return stamp.key === bindingKey(context, places, compiler);
}

/** Puts the binding in place, compiling it where the cache has none, and tries it.
 * @throws SetupProblem when it does not compile, cannot be loaded or computes a wrong product. */
export async function ensure(context) {
  const places = findPlaces(context);
  fs.rmSync(places.stamp, { force: true });
  const compiler = await describeCompiler(context);
  if (compiler === undefined) throw new SetupProblem('missing: g++; on Debian: apt-get install g++');
  const key = bindingKey(context, places, compiler);
  const cached = path.join(context.cache, 'binding', key.slice(0, 16));
  await ensureCompiled(context, {
    folder: cached,
    file: BINDING,
    manifest: MANIFEST,
    name: 'binding',
    before: async () => {
      await ensureHeaders(context);
      context.say('compiling the binding (about half a minute, once for this user)');
    },
    args: (output) => compilerArguments(context, places, output),
  });
  linkLibraries(places.deps, librariesFolder(context));
  replaceFile(path.join(cached, BINDING), places.binding);
  await tryOut(context);
  writeStamp(places.stamp, places.binding, { key, compiler });
}

function findPlaces({ root }) {
  const engine = path.join(root, 'node_modules', '@tensorflow', 'tfjs-node-gpu');
  return {
    engine,
    sources: path.join(engine, 'binding'),
    ownSources: path.join(root, 'setup', 'binding'),
    nodeHeaders: path.join(root, 'node_modules', 'node-api-headers', 'include'),
    deps: path.join(engine, 'deps'),
    binding: path.join(engine, 'lib', 'napi-v8', BINDING),
    stamp: path.join(engine, 'lib', 'napi-v8', 'espalier-stamp.json'),
  };
}

function bindingKey(context, places, compiler) {
  const hash = createHash('sha256');
  const libraries = [...TENSORFLOW, ...context.engine.linked];
  hash.update([path.basename(librariesFolder(context)), compiler, ...FLAGS, ...libraries].join('\n'));
  for (const folder of [places.sources, places.ownSources, places.nodeHeaders]) {
    for (const name of fs.readdirSync(folder).sort())
      hash.update(name).update(fs.readFileSync(path.join(folder, name)));
  }
  return hash.digest('hex');
}

function compilerArguments(context, places, output) {
  return [
    ...FLAGS,
    `-I${places.nodeHeaders}`,
    `-I${places.engine}`,
    `-I${places.ownSources}`,
    `-I${path.join(librariesFolder(context), 'include')}`,
    ...['-include', path.join(places.ownSources, OWN_HEADER)],
    ...units(places.ownSources),
    path.join(places.sources, 'tfjs_backend.cc'),
    path.join(places.sources, 'tfjs_binding.cc'),
    ...['-o', output],
    ...linkFlags(context),
  ];
}

/** The project's own translation units. */
function units(folder) {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith('.cc'));
  return names.sort().map((name) => path.join(folder, name));
}

/** The libraries to link and where they are found at run time. CUDA's are kept although no symbol of theirs is used. */
function linkFlags(context) {
  const libraries = [...TENSORFLOW, ...context.engine.linked];
  const folders = [...new Set(libraries.map((library) => path.dirname(library)))];
  return [
    '-Wl,--no-as-needed',
    ...folders.map((folder) => `-L${path.join(librariesFolder(context), folder)}`),
    ...libraries.map((library) => `-l:${path.basename(library)}`),
    ...folders.map((folder) => `-Wl,-rpath,$ORIGIN/../../deps/${folder}`),
  ];
}

/** One link for all libraries, those of CUDA included. */
function linkLibraries(link, target) {
  if (readLink(link) === target) return;
  const scratch = `${link}.part-${process.pid}`;
  fs.rmSync(scratch, { force: true });
  fs.symlinkSync(target, scratch);
  // A link is replaced in one step; a folder, as older set-ups and the package's own installer make it, is not.
  if (readLink(link) === undefined) fs.rmSync(link, { recursive: true, force: true });
  fs.renameSync(scratch, link);
}

async function tryOut(context) {
  const env = { TF_FORCE_GPU_ALLOW_GROWTH: 'true', ...context.env, TF_CPP_MIN_LOG_LEVEL: '2' };
  const options = { cwd: context.root, env, signal: context.signal };
  const { code, stdout, stderr } = await capture(process.execPath, ['-e', TRIAL], options);
  if (code !== 0) throw new SetupProblem(`the engine cannot be loaded: ${tellingLine(stderr)}`);
  const { product, gpu } = JSON.parse(stdout.trim().split('\n').at(-1));
  if (product.join() !== '19,22,43,50') {
    throw new SetupProblem(`the engine computes wrongly: got ${product.join()}, expected 19,22,43,50`);
  }
  const { variant, asked, driverSeen } = context.device;
  if (variant === 'cpu' || gpu) return;
  if (!driverSeen) context.say('no NVIDIA driver here: the GPU libraries are installed but were tried on the CPU only');
  else if (asked)
    throw new SetupProblem('ESPALIER_DEVICE=gpu, but TensorFlow cannot use the GPU; update the NVIDIA driver');
  else
    context.say(
      'TensorFlow cannot use the GPU here and will run on the CPU; an NVIDIA driver of 2023 or later is needed',
    );
}

function readLink(file) {
  try {
    return fs.readlinkSync(file);
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'EINVAL') return undefined;
    throw error;
  }
}
