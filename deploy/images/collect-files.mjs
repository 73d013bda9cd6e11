// Copies what an image has of this project: the compiled program, the files that it reads, and the packages that it imports
// with all that those need, by package-lock.json.
//
// usage: node deploy/images/collect-files.mjs coordinator|worker FOLDER      FOLDER becomes /opt/espalier

import fs from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const FILES = [
  'package.json',
  'LICENSE',
  'cli/espalier.mjs',
  'setup/node-version.mjs',
  'checkpoint/python/espalier_model.py',
  'coordinator/campaign/campaign.schema.json',
  'protos',
  'dist',
];
// install-engine.mjs has put in what workers load of this one; its own dependencies are tfjs, which nothing here imports.
const ENGINE = '@tensorflow/tfjs-node-gpu';
/** Packages of package.json that an image goes without. */
export const LEFT_OUT = { coordinator: [ENGINE, 'onnxruntime-node'], worker: [ENGINE] };
// Builds of ONNX Runtime for other systems; tests; what only compilers and debuggers read.
const UNUSED = [
  /^node_modules\/onnxruntime-node\/bin\/napi-v\d+\/(?!linux(\/x64|$))/,
  /^dist\/test\//,
  /^dist\/\.[^/]*$/,
];
const UNREAD = /^node_modules\/.*\.(d\.[cm]?ts|map)$/;

/** @returns {string[]} folders of all packages that an image needs, such as node_modules/a/node_modules/b, sorted. */
export function packagesOf(lock, leftOut) {
  const found = new Set();
  const wanted = [{ from: '', names: Object.keys(lock.packages[''].dependencies), isOptional: false }];
  for (const { from, names, isOptional } of wanted)
    for (const name of names) {
      if (from === '' && leftOut.includes(name)) continue;
      const folder = resolve(lock, from, name);
      if (folder === undefined && !isOptional)
        throw new Error(`package-lock.json has no ${name} for ${from || 'the project'}`);
      if (folder === undefined || found.has(folder)) continue;
      const { dependencies = {}, optionalDependencies = {}, os = ['linux'] } = lock.packages[folder];
      if (!os.includes('linux')) continue;
      found.add(folder);
      wanted.push({ from: folder, names: Object.keys(dependencies), isOptional: false });
      wanted.push({ from: folder, names: Object.keys(optionalDependencies), isOptional: true });
    }
  return [...found].sort();
}

/** Where Node finds a package: the innermost node_modules around whoever imports it. */
function resolve(lock, from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/') - 1))) {
    const candidate = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    if (lock.packages[candidate] !== undefined) return candidate;
    if (folder === '') return undefined;
  }
}

function copyTree(name, out, isLeftOut) {
  const filter = (source) => !isLeftOut(path.relative(ROOT, source));
  fs.cpSync(path.join(ROOT, name), path.join(out, name), { recursive: true, dereference: true, filter });
}

function collect(image, out) {
  const isUnused = (file) => UNUSED.some((pattern) => pattern.test(file)) || UNREAD.test(file);
  for (const name of FILES) copyTree(name, out, isUnused);
  const lock = JSON.parse(fs.readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8'));
  const folders = packagesOf(lock, LEFT_OUT[image]);
  // Packages inside of packages are on the list themselves.
  for (const folder of folders)
    copyTree(folder, out, (file) => isUnused(file) || file.startsWith(`${folder}/node_modules`));
  console.log(`${image}: ${folders.length} packages`);
}

if (process.argv[1] === import.meta.filename) {
  const [image, out] = process.argv.slice(2);
  if (LEFT_OUT[image] === undefined || out === undefined)
    throw new Error('usage: collect-files.mjs coordinator|worker FOLDER');
  collect(image, path.resolve(out));
}
