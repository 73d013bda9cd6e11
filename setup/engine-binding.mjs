// Owns the native binding between Node and TensorFlow: the sources that come inside @tensorflow/tfjs-node-gpu, compiled
// against the libraries of engine-libraries.mjs. Compiled bindings are kept in the per-user cache, keyed by everything
// that went into them; the package gets a copy in lib/napi-v8/ and a link `deps` to the libraries, where its run-time
// search path ($ORIGIN/../../deps) finds them. The stamp beside the copy is written only after a product was right.

import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { ensureHeaders, librariesFolder } from './engine-libraries.mjs';
import { withLock } from './lock.mjs';
import { findDamage, sha256OfFile, writeManifest } from './manifest.mjs';
import { SetupProblem } from './problem.mjs';
import { capture, captureOrFail, tellingLine } from './run-command.mjs';

export const title = 'engine binding';
export const tools = ['g++'];

// nodelete: Node unloads a binding with the last thread that uses it, TensorFlow's own threads still run in it, and the
// process crashes.
const FLAGS = [
  ...['-O2', '-shared', '-fPIC', '-std=c++17', '-Wl,-z,nodelete'],
  ...['-DNAPI_VERSION=8', '-DBUILDING_NODE_EXTENSION'],
];
const TENSORFLOW = ['lib/libtensorflow_cc.so.2', 'lib/libtensorflow_framework.so.2'];
const BINDING = 'tfjs_binding.node';
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
  const stamp = readStamp(places.stamp);
  const stat = fs.statSync(places.binding, { throwIfNoEntry: false });
  if (stamp === undefined || stat === undefined) return false;
  if (stamp.bytes !== stat.size || stamp.mtimeMs !== stat.mtimeMs) return false;
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
  const onWait = (pid) => context.say(`waiting for process ${pid}, which is compiling the same binding`);
  await withLock(`${cached}.lock`, { onWait, signal: context.signal }, async () => {
    if (findDamage(cached, MANIFEST) !== undefined) await compile(context, places, cached);
  });
  linkLibraries(places.deps, librariesFolder(context));
  replaceFile(path.join(cached, BINDING), places.binding);
  await tryOut(context);
  const stat = fs.statSync(places.binding);
  fs.writeFileSync(places.stamp, JSON.stringify({ key, compiler, bytes: stat.size, mtimeMs: stat.mtimeMs }));
}

function findPlaces({ root }) {
  const engine = path.join(root, 'node_modules', '@tensorflow', 'tfjs-node-gpu');
  return {
    engine,
    sources: path.join(engine, 'binding'),
    nodeHeaders: path.join(root, 'node_modules', 'node-api-headers', 'include'),
    deps: path.join(engine, 'deps'),
    binding: path.join(engine, 'lib', 'napi-v8', BINDING),
    stamp: path.join(engine, 'lib', 'napi-v8', 'espalier-stamp.json'),
  };
}

/** Version of g++, or undefined when there is none. */
async function describeCompiler({ env, signal }) {
  const { code, stdout } = await capture('g++', ['-dumpfullversion'], { env, signal });
  return code === 0 ? stdout.trim() : undefined;
}

function bindingKey(context, places, compiler) {
  const hash = createHash('sha256');
  const libraries = [...TENSORFLOW, ...context.engine.linked];
  hash.update([path.basename(librariesFolder(context)), compiler, ...FLAGS, ...libraries].join('\n'));
  for (const folder of [places.sources, places.nodeHeaders]) {
    for (const name of fs.readdirSync(folder).sort())
      hash.update(name).update(fs.readFileSync(path.join(folder, name)));
  }
  return hash.digest('hex');
}

async function compile(context, places, cached) {
  await ensureHeaders(context);
  context.say('compiling the binding (about 10 s, once for this user)');
  fs.rmSync(cached, { recursive: true, force: true });
  const scratch = `${cached}.part-${process.pid}`;
  fs.rmSync(scratch, { recursive: true, force: true });
  fs.mkdirSync(scratch, { recursive: true });
  try {
    const output = path.join(scratch, BINDING);
    const args = [
      ...FLAGS,
      `-I${places.nodeHeaders}`,
      `-I${places.engine}`,
      `-I${path.join(librariesFolder(context), 'include')}`,
      path.join(places.sources, 'tfjs_backend.cc'),
      path.join(places.sources, 'tfjs_binding.cc'),
      ...['-o', output],
      ...linkFlags(context),
    ];
    await captureOrFail('compiling the binding', 'g++', args, context);
    writeManifest(scratch, MANIFEST, {
      [BINDING]: { bytes: fs.statSync(output).size, sha256: sha256OfFile(output) },
    });
    fs.renameSync(scratch, cached);
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
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

/** Replaces a file in one step: a process that has loaded the old one keeps it. */
function replaceFile(source, target) {
  fs.mkdirSync(path.dirname(target), { recursive: true });
  const scratch = `${target}.part-${process.pid}`;
  fs.copyFileSync(source, scratch);
  fs.renameSync(scratch, target);
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

function readStamp(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
