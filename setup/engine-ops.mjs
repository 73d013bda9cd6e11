// Owns the library of Espalier's own TensorFlow operations: worker/engine/native, compiled against the libraries of
// engine-libraries.mjs into an addon of Node that registers the operations when it is loaded (docs/adr/0024-fused-operations.md).
// Compiled libraries are kept in the per-user cache, keyed by everything that went into them; the package of the binding gets
// a copy beside it, where the same run-time search path serves. The engine does without where there is none: what fails here
// is told in one line and stamped, so that the next start does not compile in vain again.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { describeCompiler, ensureCompiled, readJson, readStamp, replaceFile, writeStamp } from './compiled-addon.mjs';
import { ensureHeaders, librariesFolder } from './engine-libraries.mjs';
import { SetupProblem } from './problem.mjs';
import { capture, tellingLine } from './run-command.mjs';

export const title = 'engine operations';
export const tools = [];

// TensorFlow's classes are shared with it in memory: the flags that decide their form are those of its wheels. nodelete as for
// the binding. Vector loops are written for -O3 with sums in the order that `omp simd` allows; NaN and infinity are kept.
const FLAGS = [
  ...['-O3', '-shared', '-fPIC', '-std=c++17', '-Wl,-z,nodelete', '-fvisibility=hidden', '-w'],
  ...['-DNDEBUG', '-D_GLIBCXX_USE_CXX11_ABI=1', '-DEIGEN_MAX_ALIGN_BYTES=64', '-DNAPI_VERSION=8'],
  ...['-fopenmp-simd', '-fno-math-errno', '-fno-trapping-math'],
];
const LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
const ADDON = 'espalier_ops.node';
const MANIFEST = 'ops.json';

// Run in a child process: a library that crashes must not take set-up with it.
const TRIAL = `
const ops = require('@tensorflow/tfjs-node-gpu/lib/napi-v8/${ADDON}');
const { TF_Version } = require('@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node');
if (ops.tensorflowVersion !== TF_Version)
  throw new Error('compiled for TensorFlow ' + ops.tensorflowVersion + ', got ' + TF_Version);`;

/** True when the package holds a tried library that was made from these libraries and sources with this compiler, or when
 * making one from them has failed before. */
export async function isReady(context) {
  const places = findPlaces(context);
  if (!fs.existsSync(places.binding) || !fs.existsSync(places.nodeHeaders)) return false;
  const compiler = await describeCompiler(context);
  const failed = readJson(places.failure);
  if (failed !== undefined) return failed.key === opsKey(context, places, compiler);
  const stamp = readStamp(places.stamp, places.addon);
  // Without a compiler the one that made the library is taken on trust.
  return stamp !== undefined && stamp.key === opsKey(context, places, compiler ?? stamp.compiler);
}

/** Puts the library in place, compiling it where the cache has none, and tries it. Where that fails there is none, and one
 * line says why. */
export async function ensure(context) {
  const places = findPlaces(context);
  for (const file of [places.stamp, places.failure]) fs.rmSync(file, { force: true });
  const compiler = await describeCompiler(context);
  const key = opsKey(context, places, compiler);
  try {
    if (compiler === undefined) throw new SetupProblem('missing: g++; on Debian: apt-get install g++');
    const cached = path.join(context.cache, 'ops', key.slice(0, 16));
    await ensureCompiled(context, {
      folder: cached,
      file: ADDON,
      manifest: MANIFEST,
      name: 'operations',
      before: async () => {
        await ensureHeaders(context);
        context.say('compiling the operations (about half a minute, once for this user)');
      },
      args: (output) => compilerArguments(context, places, output),
    });
    replaceFile(path.join(cached, ADDON), places.addon);
    await tryOut(context);
    writeStamp(places.stamp, places.addon, { key, compiler });
  } catch (error) {
    if (!(error instanceof SetupProblem)) throw error;
    fs.rmSync(places.addon, { force: true });
    fs.writeFileSync(places.failure, JSON.stringify({ key, reason: error.message }));
    context.say(`${error.message}; the engine does without its own operations, at a lower speed`);
  }
}

function findPlaces({ root }) {
  const folder = path.join(root, 'node_modules', '@tensorflow', 'tfjs-node-gpu', 'lib', 'napi-v8');
  return {
    sources: path.join(root, 'worker', 'engine', 'native'),
    nodeHeaders: path.join(root, 'node_modules', 'node-api-headers', 'include'),
    binding: path.join(folder, 'tfjs_binding.node'),
    addon: path.join(folder, ADDON),
    stamp: path.join(folder, 'espalier-ops-stamp.json'),
    failure: path.join(folder, 'espalier-ops-failure.json'),
  };
}

function opsKey(context, places, compiler) {
  const hash = createHash('sha256');
  hash.update([path.basename(librariesFolder(context)), compiler ?? 'no compiler', ...FLAGS, ...LIBRARIES].join('\n'));
  for (const folder of [places.sources, places.nodeHeaders]) {
    for (const name of fs.readdirSync(folder, { recursive: true }).sort()) {
      const file = path.join(folder, name);
      if (fs.statSync(file).isFile()) hash.update(name).update(fs.readFileSync(file));
    }
  }
  return hash.digest('hex');
}

function compilerArguments(context, { sources, nodeHeaders }, output) {
  const libraries = librariesFolder(context);
  return [
    ...FLAGS,
    `-DESPALIER_TENSORFLOW_VERSION="${context.engine.version}"`,
    // Sources name each other, and the files that they take in as bytes, from this folder.
    ...[`-I${sources}`, `-Wa,-I${sources}`],
    ...[`-I${nodeHeaders}`, `-isystem${path.join(libraries, 'include')}`],
    ...units(sources),
    ...['-o', output],
    `-L${path.join(libraries, 'lib')}`,
    ...LIBRARIES.map((library) => `-l:${library}`),
    '-Wl,-rpath,$ORIGIN/../../deps/lib',
  ];
}

/** All translation units, in any folder. */
function units(sources) {
  const names = fs.readdirSync(sources, { recursive: true }).sort();
  return names.filter((name) => name.endsWith('.cc')).map((name) => path.join(sources, name));
}

async function tryOut(context) {
  const env = { ...context.env, TF_CPP_MIN_LOG_LEVEL: '2', CUDA_VISIBLE_DEVICES: '-1' };
  const options = { cwd: context.root, env, signal: context.signal };
  const { code, stderr } = await capture(process.execPath, ['-e', TRIAL], options);
  if (code !== 0) throw new SetupProblem(`the operations cannot be loaded: ${tellingLine(stderr)}`);
}
