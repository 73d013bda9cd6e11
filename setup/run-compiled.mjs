// `npm run bench`, `soak` and their like: a compiled program of the checkout, in the foreground.

import fs from 'node:fs';
import path from 'node:path';
import { SetupProblem } from './problem.mjs';
import { runInForeground } from './program.mjs';

/** @param program path below dist/. @returns its exit code. */
export async function runCompiled(context, program, args) {
  const file = path.join('dist', program);
  if (!fs.existsSync(path.join(context.root, file))) throw new SetupProblem(`there is no ${file} in this version`);
  const env = { TF_CPP_MIN_LOG_LEVEL: '2', ...context.env };
  return runInForeground(context, ['--enable-source-maps', file, ...args], env);
}
