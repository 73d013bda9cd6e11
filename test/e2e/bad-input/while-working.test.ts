// What is found only while a job works, and what is no mistake but told of; other commands have the same errors.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, truncate } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { changeTensors, GOOD, LABELS, QUICK_SECONDS, weightsOf } from '../../support/mistakes.ts';
import { assertFailed, assertNothingWritten, noneLeft, openWorkspace, readJson } from '../../support/run-cli.ts';
import { toyRows, writeRows } from '../../support/toy-data.ts';
import { writeToyModel } from '../../support/toy-model.ts';

const workspace = await openWorkspace();

describe('found while working', () => {
  test('weights so large that the loss is not finite', async () => {
    const model = await writeToyModel(workspace.path('huge'));
    await changeTensors(model, (tensors) => {
      const { data } = tensors.get('classifier.weight')!;
      for (let i = 0; i < data.length; i++) (data as Float32Array)[i] = i % 2 === 0 ? 3e38 : -3e38;
    });
    const data = await writeRows(workspace.path('huge.jsonl'), toyRows('sentence', { count: 40 }));
    for (const flags of [[], ['--eval', data]]) {
      const out = workspace.path('huge-out');
      const run = workspace.start([
        'prune',
        model,
        '--data',
        data,
        '--budget',
        '0.5',
        '--workers',
        '1',
        '--out',
        out,
        ...flags,
      ]);
      const finished = await run.finished;
      assertFailed(finished, 'not_finite', flags.length === 0 ? 'gradients/0: losses ' : 'evaluate/0: logits ');
      assertNothingWritten(out);
      await noneLeft([run.pid]);
    }
  });

  test('a worker address where nobody listens', async () => {
    const model = await writeToyModel(workspace.path('alone'));
    const data = await writeRows(workspace.path('alone.jsonl'), toyRows('sentence', { count: 40 }));
    const out = workspace.path('alone-out');
    const finished = await workspace.run([
      'prune',
      model,
      '--data',
      data,
      '--budget',
      '0.5',
      '--worker',
      '127.0.0.1:9',
      '--out',
      out,
    ]);
    assertFailed(finished, 'no_workers', '127.0.0.1:9: cannot be reached');
    assert.ok(finished.seconds < QUICK_SECONDS, `took ${finished.seconds} s`);
    assert.ok(!existsSync(out));
  });

  test('texts longer than the model allows are cut, counted and told of', async () => {
    const model = await writeToyModel(workspace.path('long'), { labels: LABELS });
    const long = { sentence: 'ba '.repeat(100), label: 'green' };
    const data = await writeRows(workspace.path('long.jsonl'), [...GOOD, long, long, long]);
    const out = workspace.path('long-out');
    const finished = await workspace.run([
      ...['prune', model, '--data', data, '--eval', data, '--budget', '0.5', '--workers', '1', '--out', out],
    ]);
    assert.equal(finished.code, 0, finished.stderr);
    const notice = `note: ${data}: 3 of 23 samples were longer than 32 tokens and were cut`;
    assert.equal(finished.stderr.split(notice).length, 3, 'for --data and for --eval');
    const report = readJson<{ data: { truncated: number }; evaluation: { truncated: number } }>(out, '0.5/report.json');
    assert.deepEqual([report.data.truncated, report.evaluation.truncated], [3, 3]);
  });

  test('evaluate and inspect have the same errors', async () => {
    const model = await writeToyModel(workspace.path('other-commands'), { labels: LABELS });
    const data = await writeRows(workspace.path('other-commands.jsonl'), [{ sentence: 'ba', label: 'blue' }]);
    const evaluated = await workspace.run(['evaluate', model, '--data', data]);
    assertFailed(evaluated, 'data_label', 'other-commands.jsonl:1: label: got "blue"');
    await cp(model, workspace.path('cut'), { recursive: true });
    await truncate(weightsOf(workspace.path('cut')), 20_000);
    assertFailed(await workspace.run(['inspect', workspace.path('cut')]), 'model_format', 'the file is cut short');
    assertFailed(await workspace.run(['inspect', workspace.path('nowhere')]), 'model_not_found', 'got nothing');
  });
});
