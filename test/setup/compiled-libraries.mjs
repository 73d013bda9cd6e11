// What the steps that compile against the engine's libraries need, with stand-ins of one symbol each for these.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ensure as ensureLibraries } from '../../setup/engine-libraries.mjs';
import { CHECKOUT, fakeContext, fakeEngine, temporaryFolder, writeFiles } from './support.mjs';

/** A context whose libraries `tensorflow_cc` and `tensorflow_framework` are there; each has the function of its name, which
 * returns 1. */
export async function preparedLibraries(t) {
  const folder = temporaryFolder(t);
  const fake = fakeEngine(folder, {
    'tensorflow/libtensorflow_cc.so.2': library(folder, 'tensorflow_cc'),
    'tensorflow/libtensorflow_framework.so.2': library(folder, 'tensorflow_framework'),
    'tensorflow/include/tensorflow/c/c_api.h': '// header',
  });
  const { context, said } = fakeContext(folder, fake);
  await ensureLibraries(context);
  return { context, said, folder };
}

/** Puts the headers of Node's API where a checkout has them. */
export function copyNodeHeaders(root) {
  const headers = 'node_modules/node-api-headers/include';
  fs.cpSync(path.join(CHECKOUT, headers), path.join(root, headers), { recursive: true });
}

function library(folder, symbol) {
  const file = path.join(folder, `lib${symbol}.so.2`);
  const source = path.join(folder, `${symbol}.c`);
  writeFiles(folder, { [`${symbol}.c`]: `int ${symbol}(void) { return 1; }` });
  execFileSync('gcc', ['-shared', '-fPIC', `-Wl,-soname,lib${symbol}.so.2`, '-o', file, source]);
  return fs.readFileSync(file);
}
