// The table of ablations: differences of the same seeds, verdicts by their spread, and variants as the command is told of them.
import assert from 'node:assert/strict';
import test from 'node:test';
import { parsePrune } from '../../../cli/parse-prune.ts';
import { VARIANTS, variantOf } from '../../bench/ablation-variants.ts';
import { type AblationRecord, ablationsTable, verdictOf } from '../../bench/ablations-table.ts';
import { mergedRecords } from '../../bench/study-file.ts';

function record(part: Partial<AblationRecord>): AblationRecord {
  return {
    ...{ model: 'mini-sst2', seed: 0, budget: 0.3, variant: 'default', flags: '', samples: 2048, metric: 'accuracy' },
    ...{ dense: 0.8532, score: 0.8, macs: 0.2999, heads: [], neurons: [], divergence: 0.02, seconds: 1, device: 'cpu' },
    ...part,
  };
}

const runs = (variant: string, scores: readonly number[], part: Partial<AblationRecord> = {}) =>
  scores.map((score, seed) => record({ variant, seed, score, flags: `--${variant}`, ...part }));

test('a variant wins or loses by more than the spread of its differences, of three seeds at least', () => {
  assert.equal(verdictOf([1, 1.1, 0.9]), 'wins');
  assert.equal(verdictOf([-1, -1.1, -0.9]), 'loses');
  assert.equal(verdictOf([1, -1, 0.5]), 'within the spread');
  assert.equal(verdictOf([0, 0, 0]), 'within the spread');
  assert.equal(verdictOf([1, 1.1]), 'too few seeds');
});

test('a row has the seeds that the default has too, and a summary counts the cells', () => {
  const records = [
    ...runs('default', [0.8, 0.81, 0.82]),
    ...runs('scales', [0.82, 0.83, 0.84, 0.1], { divergence: 0.03 }),
    ...runs('default', [0.84, 0.85, 0.86], { budget: 0.5 }),
    ...runs('scales', [0.83, 0.86, 0.86], { budget: 0.5 }),
    ...runs('scales', [0.5], { model: 'mini-mnli' }),
  ];
  const lines = ablationsTable(records, ['default', 'scales', 'knapsack']).split('\n');
  assert.ok(lines.includes('| scales | `--scales` | 2 | 1 | 0 | 1 | +1.00 |'), lines.join('\n'));
  assert.deepEqual(
    lines.filter((line) => /^\| 0\./.test(line)),
    [
      '| 0.5 | default | 85.00 ± 1.00 |  |  |  | 0.0200 | 0.2999 |',
      '| 0.5 | scales | 85.00 ± 1.73 | +0.00 ± 1.00 | 1 of 3 | within the spread | 0.0200 | 0.2999 |',
      '| 0.3 | default | 81.00 ± 1.00 |  |  |  | 0.0200 | 0.2999 |',
      '| 0.3 | scales | 83.00 ± 1.00 | +2.00 ± 0.00 | 3 of 3 | **wins** | 0.0300 | 0.2999 |',
    ],
  );
  assert.ok(lines.includes('### mini-sst2, dense 85.32') && !lines.some((line) => line.includes('mini-mnli')));
});

test('files of several processes become one; a run that is there twice must be the same', () => {
  const own = runs('default', [0.8, 0.81]);
  const nameOf = ({ variant, seed }: AblationRecord) => `${variant} ${seed}`;
  const again = { ...own[1], seconds: 7 };
  assert.deepEqual(mergedRecords([own, [again], runs('scales', [0.7])], nameOf), [...own, ...runs('scales', [0.7])]);
  assert.throws(() => mergedRecords([own, [{ ...again, score: 0.5 }]], nameOf), /^Error: default 1: got two runs that/);
});

test('the flags of a variant are those that the command takes, and ask for what the variant changes', () => {
  for (const name of Object.keys(VARIANTS)) {
    const { changes, flags } = variantOf(name, { task: 'stsb', data: '/data', samples: 2048 })!;
    const given: Record<string, string[]> = { data: ['stsb/train.jsonl'], budget: ['0.5'], out: ['out'] };
    for (const words of flags.split(/ ?(?=--)/).filter((text) => text !== '')) {
      const [flag, value] = words.replace(/^--/, '').split(' ');
      given[flag] = [value];
    }
    const { settings } = parsePrune('model', given, '/somewhere');
    const { data: _, ...others } = changes;
    for (const [key, value] of Object.entries(others))
      assert.deepEqual(settings[key as keyof typeof settings], value, `${name}: ${key}`);
    assert.equal(changes.data ?? '/data/stsb/train.jsonl', `/data/${settings.data}`);
  }
  assert.equal(variantOf('other-texts', { task: 'squad', data: '/data', samples: 2048 }), null);
});
