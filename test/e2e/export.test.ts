// `espalier export`: a fixture's file, its checks, its mistakes, and what Python's own checker says of it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { writeOnnx } from '../../checkpoint/onnx/write-onnx.ts';
import { openCheckpoint } from '../../checkpoint/open-checkpoint.ts';
import type { ExportReport } from '../../coordinator/export-job.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { runOnnx } from '../support/onnx-session.ts';
import { assertFailed, openWorkspace, readJson } from '../support/run-cli.ts';

const workspace = await openWorkspace();
const MODEL = path.join(projectRoot(), 'test/fixtures/hf-roberta-question-answering');
const EXPECTED = readJson<{
  inputs: Parameters<typeof runOnnx>[1];
  start_logits: number[][];
  end_logits: number[][];
}>(MODEL, 'expected.json');

// Float32 against the float64 of the fixture, logits up to 4.5.
const TOLERANCE = 1e-5;

async function exported(...args: string[]): Promise<ExportReport> {
  const { code, stdout, stderr } = await workspace.runHere(['export', MODEL, ...args, '--json']);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

async function assertLogits(file: string): Promise<void> {
  const answers = await runOnnx(file, EXPECTED.inputs);
  for (const output of ['start_logits', 'end_logits'] as const)
    EXPECTED[output].flat().forEach((value, i) => {
      assert.ok(Math.abs(answers[output][i] - value) < TOLERANCE, `${output} ${i}: ${answers[output][i]} and ${value}`);
    });
}

test('writes one file that runs, tells of it, and replaces it with --force alone', async () => {
  const out = workspace.path('new', 'model.onnx');
  const report = await exported('--out', out);
  assert.deepEqual(report.inputs, ['input_ids', 'attention_mask']);
  assert.deepEqual(report.outputs, ['start_logits', 'end_logits']);
  assert.equal(report.task, 'question-answering');
  assert.equal(report.dtype, 'float32');
  const [file, ...more] = report.files;
  assert.deepEqual(more, []);
  assert.equal(file.path, out);
  assert.equal(file.bytes, statSync(out).size);
  assert.equal(file.sha256, createHash('sha256').update(readFileSync(out)).digest('hex'));
  assert.deepEqual(readdirSync(path.dirname(out)), ['model.onnx']);
  await assertLogits(out);

  assertFailed(await workspace.runHere(['export', MODEL, '--out', out]), 'output_exists', out, 'add --force');
  const half = await exported('--out', out, '--force', '--dtype', 'float16');
  assert.ok(half.files[0].bytes < 0.75 * file.bytes, `${half.files[0].bytes} of ${file.bytes} bytes`);
  const again = await exported('--out', out, '--force');
  assert.equal(again.files[0].sha256, file.sha256, 'the same bytes each time');
});

test('puts matrices into a file of their own, and takes it away with the model that read it', async () => {
  const out = workspace.path('apart', 'model.onnx');
  const { files } = await exported('--out', out, '--external-data');
  assert.deepEqual(
    files.map((file) => path.basename(file.path)),
    ['model.onnx', 'model.onnx.data'],
  );
  for (const { path: file, bytes } of files) assert.equal(statSync(file).size, bytes);
  const { parameters } = await exported('--out', workspace.path('whole.onnx'));
  assert.ok(files[1].bytes > 0.8 * parameters * 4 && files[0].bytes < parameters * 2, 'most weights lie outside');
  await assertLogits(out);
  assertFailed(await workspace.runHere(['export', MODEL, '--out', out]), 'output_exists', out);
  await exported('--out', out, '--force');
  assert.deepEqual(readdirSync(path.dirname(out)), ['model.onnx']);
  await assertLogits(out);
});

test('prints a table', async () => {
  const { code, stdout, stderr } = await workspace.run(['export', MODEL, '--out', 'table.onnx']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^task +question-answering\n/);
  assert.match(stdout, /^inputs +input_ids, attention_mask\n/m);
  assert.match(stdout, /^Result: table\.onnx\n$/m);
});

test('mistakes: no model, a folder of models, a target that is a folder or cannot be written', async () => {
  const out = workspace.path('mistake.onnx');
  assertFailed(await workspace.runHere(['export', 'nowhere', '--out', out]), 'model_not_found', 'nowhere');
  const fixtures = path.dirname(MODEL);
  assertFailed(
    await workspace.runHere(['export', fixtures, '--out', out]),
    'model_not_found',
    'the models are in its folders',
  );
  mkdirSync(workspace.path('folder.onnx'));
  const folder = ['export', MODEL, '--out', workspace.path('folder.onnx'), '--force'];
  assertFailed(await workspace.runHere(folder), 'output_exists', 'folder.onnx', 'choose another --out');
  writeFileSync(workspace.path('file'), '');
  const inFile = ['export', MODEL, '--out', workspace.path('file', 'model.onnx')];
  assertFailed(await workspace.runHere(inFile), 'output_unwritable', 'file/model.onnx');
  assert.ok(!existsSync(out));
});

test('a folder that may not be written to', {
  skip: process.getuid?.() === 0 && 'root may write anywhere',
}, async () => {
  const folder = workspace.path('locked');
  mkdirSync(folder);
  chmodSync(folder, 0o500);
  const locked = ['export', MODEL, '--out', path.join(folder, 'model.onnx')];
  assertFailed(await workspace.runHere(locked), 'output_unwritable', 'locked');
});

const PYTHON = process.env.ESPALIER_PYTHON ?? 'python3';
const hasOnnx = spawnSync(PYTHON, ['-c', 'import onnx']).status === 0;

test("passes ONNX's own checker with shape inference, in one file and in two", {
  skip: hasOnnx ? false : `${PYTHON} has no onnx`,
}, async (t) => {
  const check = 'import sys, onnx; [onnx.checker.check_model(file, full_check=True) for file in sys.argv[1:]]';
  const files: string[] = [];
  for (const name of readdirSync(path.dirname(MODEL)).filter((entry) => entry.startsWith('hf-'))) {
    const checkpoint = await openCheckpoint(path.join(path.dirname(MODEL), name));
    t.after(() => checkpoint.close());
    for (const options of [{ dtype: 'F32' }, { dtype: 'F16' }, { dtype: 'F32', mostFileBytes: 0 }] as const) {
      const out = workspace.path('checked', `${files.length}.onnx`);
      await writeOnnx(checkpoint, out, options);
      files.push(out);
    }
  }
  const { status, stderr } = spawnSync(PYTHON, ['-c', check, ...files], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});
