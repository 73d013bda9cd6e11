import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ensure, isReady } from '../../setup/build.mjs';
import { SetupProblem } from '../../setup/problem.mjs';
import { CHECKOUT, temporaryFolder, writeFiles } from './support.mjs';

/** A small checkout with the real compiler and settings. */
function makeCheckout(t) {
  const root = temporaryFolder(t);
  const settings = JSON.parse(fs.readFileSync(path.join(CHECKOUT, 'tsconfig.json'), 'utf8'));
  settings.include = ['pruning', 'shared'];
  writeFiles(root, {
    'tsconfig.json': JSON.stringify(settings),
    'package.json': '{"type":"module"}',
    'package-lock.json': '{}',
    'pruning/cost.ts': 'export const cost: number = 1;\n',
    'shared/old.ts': 'export const old = true;\n',
  });
  fs.symlinkSync(path.join(CHECKOUT, 'node_modules'), path.join(root, 'node_modules'));
  const said = [];
  return { context: { root, env: process.env, say: (line) => said.push(line) }, root, said };
}

test('compiles once, and again when a source changes', async (t) => {
  const { context, root } = makeCheckout(t);
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(await isReady(context), true);
  writeFiles(root, { 'pruning/cost.ts': 'export const cost: number = 2;\n' });
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.match(fs.readFileSync(path.join(root, 'dist/pruning/cost.js'), 'utf8'), /cost = 2/);
});

test('the output of a deleted source goes', async (t) => {
  const { context, root } = makeCheckout(t);
  await ensure(context);
  assert.ok(fs.existsSync(path.join(root, 'dist/shared/old.js')));
  fs.rmSync(path.join(root, 'shared/old.ts'));
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(fs.existsSync(path.join(root, 'dist/shared/old.js')), false);
  assert.equal(fs.existsSync(path.join(root, 'dist/shared/old.js.map')), false);
  assert.ok(fs.existsSync(path.join(root, 'dist/pruning/cost.js')));
});

test('an output that something else wrote is noticed', async (t) => {
  const { context, root } = makeCheckout(t);
  await ensure(context);
  writeFiles(root, { 'dist/pruning/cost.js': '// by hand\n' });
  assert.equal(await isReady(context), false);
});

test('a type error is told, fails, and leaves the last good build', async (t) => {
  const { context, root, said } = makeCheckout(t);
  await ensure(context);
  writeFiles(root, { 'pruning/cost.ts': 'export const cost: number = "two";\n' });
  await assert.rejects(ensure(context), SetupProblem);
  assert.match(said.join('\n'), /pruning\/cost\.ts\(1,14\): error TS2322/);
  assert.match(fs.readFileSync(path.join(root, 'dist/pruning/cost.js'), 'utf8'), /cost = 1/);
  assert.equal(await isReady(context), false);
});
