// `npm test`: lint and format, then every test. The build, which set-up has done before, is the type check.
// `npm test -- WORD ...` runs the test files whose path holds one of the words.

import fs from 'node:fs';
import path from 'node:path';
import { SetupProblem } from './problem.mjs';
import { runInForeground } from './program.mjs';

const COMPILED_FOLDERS = ['dist/test/unit', 'dist/test/integration', 'dist/test/e2e'];
const SETUP_FOLDER = 'test/setup';
/** Files at a time: as many as a CI machine has cores. More would end sooner, since many wait for leases, heartbeats or silence;
 * but others hold processes to a time, such as the second in which a task must stop. */
const AT_ONCE = 2;

/** Runs both parts even when the first fails. @returns the exit code of the tests, or else of the lint. */
export async function runTests(context, words = []) {
  const files = listTestFiles(context.root).filter(
    (file) => words.length === 0 || words.some((word) => file.includes(word)),
  );
  if (files.length === 0) throw new SetupProblem(`no test file matches: ${words.join(' ')}`);

  console.log('test: lint and format (biome ci)');
  const colours = process.stdout.isTTY ? [] : ['--colors=off'];
  const lintCode = await runInForeground(context, ['node_modules/@biomejs/biome/bin/biome', 'ci', ...colours]);

  console.log(`test: ${files.length} files`);
  const env = { TF_CPP_MIN_LOG_LEVEL: '2', ...context.env };
  const flags = ['--enable-source-maps', '--test', `--test-concurrency=${AT_ONCE}`, '--test-reporter=spec'];
  const testCode = await runInForeground(context, [...flags, ...files], env);
  if (lintCode !== 0)
    console.log('test: lint or format failed, see the top; `npx biome check --write` corrects most of it');
  return testCode || lintCode;
}

/** Paths of all test files relative to the root, sorted. Node 20 knows no globs. */
function listTestFiles(root) {
  const list = (folder, ending) => {
    if (!fs.existsSync(path.join(root, folder))) return [];
    const names = fs.readdirSync(path.join(root, folder), { recursive: true });
    return names.filter((name) => name.endsWith(ending)).map((name) => path.join(folder, name));
  };
  const compiled = COMPILED_FOLDERS.flatMap((folder) => list(folder, '.test.js'));
  return [...compiled, ...list(SETUP_FOLDER, '.test.mjs')].sort();
}
