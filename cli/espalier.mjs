#!/usr/bin/env node
// The `espalier` command: checks that the program can run at all, then runs it.

import { existsSync } from 'node:fs';
import { nodeVersionProblem } from '../setup/node-version.mjs';

const program = new URL('../dist/cli/main.js', import.meta.url);
const problem =
  nodeVersionProblem() ??
  (existsSync(program) ? undefined : 'this checkout is not set up: run `npm run setup` or `npm run demo` first');
if (problem === undefined) {
  await import(program.href);
} else {
  console.error(`espalier: ${problem}`);
  process.exitCode = 2;
}
