// What bench:gpus makes of its runs, what it finds too slow, its table and its flags.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { faultsOf, type PartFigures, pruningSeconds, type Run, workersFigures } from '../../bench/gpus/figures.ts';
import { parseGpusBench } from '../../bench/gpus/settings.ts';
import { partText } from '../../bench/gpus/table.ts';
import { BERT_BASE } from '../../bench/synthetic-model.ts';

const run = (seconds: number): Run => ({
  stages: { load: 9, fisher: seconds / 2, search: 0, rearrange: seconds / 8, tune: (3 * seconds) / 8 },
  ...{ seconds, busy: 1 / seconds, coordinatorCpuSeconds: 10 * seconds, results: [] },
});
const figures = (part: PartFigures['part'], seconds: readonly number[]): PartFigures => ({
  ...{ part, jobs: part === 'queue' ? 8 : 1, model: BERT_BASE, samples: 64 },
  byWorkers: seconds.map((own, i) => workersFigures(i + 1, [run(own)])),
});

test('of several runs each figure is a median, and the spread of the whole is told', () => {
  const found = workersFigures(2, [8, 2, 4].map(run));
  assert.deepEqual(found, {
    ...{ workers: 2, seconds: { median: 4, least: 2, most: 8 }, busy: 0.25, coordinatorCpuSeconds: 40 },
    stages: { load: 9, fisher: 2, search: 0, rearrange: 0.5, tune: 1.5 },
  });
  assert.equal(pruningSeconds(found.stages), 4, 'without load');
});

test('two workers have to be 1.8 times as fast over a queue and 1.6 times on one job; others are not asked', () => {
  assert.deepEqual(faultsOf(figures('queue', [18, 10, 9.9])), []);
  assert.deepEqual(faultsOf(figures('queue', [18, 10.1])), [
    'queue: two workers are 1.78 times as fast as one, expected at least 1.8',
  ]);
  assert.deepEqual(faultsOf(figures('one', [16, 10])), []);
  assert.match(faultsOf(figures('one', [16, 10.1]))[0], /^one: .* 1\.58 times .* at least 1\.6$/);
});

test('the table has a row for each number of workers, jobs a minute of a queue alone', () => {
  const [title, heading, , two] = partText(figures('queue', [16, 8]), 3).split('\n');
  assert.match(title, /^queue: 8 jobs .* 12x768x12x3072, 64 samples, median of 3$/);
  assert.match(heading, /^ +workers +jobs\/min +times as fast +seconds .* tune s$/);
  assert.match(two, /^ +2 +60\.0 +2\.00 +8\.00 +8\.00 +8\.00 +12\.5 % +80\.0 +9\.00 +4\.00 +0 +1\.00 +3\.00$/);
  assert.doesNotMatch(partText(figures('one', [16, 8]), 3), /jobs\/min/);
});

test('flags have the sizes of BERT-base, and all that are wrong are named in one line', () => {
  const two = { CUDA_VISIBLE_DEVICES: '3,5' };
  assert.deepEqual(parseGpusBench([], two), {
    ...{ parts: ['queue', 'one'], gpus: 2, device: 'gpu', jobs: 8, repeats: 3, samples: 2048 },
    sizes: { layers: 12, hiddenSize: 768, heads: 12, neurons: 3072 },
    ...{ json: null, check: false },
  });
  assert.deepEqual(parseGpusBench(['--parts', 'one,queue', '--check'], two).parts, ['queue', 'one']);
  const problems: [args: string[], message: RegExp][] = [
    [
      ['--parts', 'two', '--gpus', '1', '--jobs', '0', '--device', 'tpu'],
      /--parts: got "two".*--device: got "tpu".*--gpus: got "1", expected a whole number from 2 to 64; --jobs: got "0"/,
    ],
    [['--gpus', '3'], /^--gpus: got 3, expected no more than the 2 that may be used here$/],
    [['--heads', '5'], /^--heads: got 5, expected a divisor of --hidden 768$/],
    [['--half'], /--half/],
  ];
  for (const [args, message] of problems)
    assert.throws(
      () => parseGpusBench(args, two),
      (error: EspalierError) => error instanceof EspalierError && error.code === 'usage' && message.test(error.message),
      args.join(' '),
    );
  assert.equal(
    parseGpusBench(['--device', 'cpu', '--gpus', '3'], {}).gpus,
    3,
    'a CPU has as many workers as are asked for',
  );
});
