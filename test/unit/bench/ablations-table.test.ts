// The table of ablations: differences of the same seeds, verdicts by their spread, and variants as the command is told of them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { parsePrune } from '../../../cli/parse-prune.ts';
import { VARIANTS, variantOf } from '../../bench/ablation-variants.ts';
import { type AblationRecord, ablationsTable, verdictOf } from '../../bench/ablations-table.ts';
import { givenRecords, mergedRecords, readRecords } from '../../bench/study-file.ts';

const PROGRAM = fileURLToPath(new URL('../../bench/ablations.js', import.meta.url));

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

test('a cell has the seeds that the default has too, and says how many', () => {
  const records = [
    ...runs('default', [0.8, 0.81, 0.82]),
    ...runs('scales', [0.82, 0.83, 0.84, 0.1], { divergence: 0.03 }),
    ...runs('default', [0.84, 0.85, 0.86], { budget: 0.5 }),
    ...runs('scales', [0.83, 0.86, 0.86], { budget: 0.5 }),
    ...runs('default', [0.5, 0.6, 0.7], { model: 'mini-mnli', divergence: null }),
    ...runs('scales', [0.55], { model: 'mini-mnli' }),
    ...runs('scales', [0.55], { model: 'mini-mrpc' }),
  ];
  const text = ablationsTable(records, ['default', 'scales', 'knapsack']);
  const rows = text.split('\n').filter((line) => /^\| (variant|scales|model|mini-)/.test(line));
  assert.deepEqual(rows, [
    '| variant | flags of `espalier prune` | wins | loses | within the spread | too few seeds | 0.5 | 0.3 |',
    '| scales | `--scales` | 1 | 0 | 1 | 1 | +0.00 ± 0.58, 1 | +2.00 ± 0.00, 1 |',
    '| model | 0.5 | 0.3 |',
    '| mini-mnli, dense 85.32 |  | 60.00 ± 10.00, 3 |',
    '| mini-sst2, dense 85.32 | 85.00 ± 1.00, 3, 0.0200 | 81.00 ± 1.00, 3, 0.0200 |',
    '| model | 0.5 | 0.3 |',
    '| mini-mnli |  | +5.00, 1 of 1 |',
    '| mini-sst2 | +0.00 ± 1.00, 1 of 3, × 1.00 | **+2.00 ± 0.00**, 3 of 3, × 1.50 |',
  ]);
  assert.match(text, /more than 0\.9997 of the MACs/);
});

test('over models the mean of their means, with the standard error of all', () => {
  const records = ['mini-sst2', 'mini-mnli'].flatMap((model, i) => [
    ...runs('default', [0.5, 0.5, 0.5, 0.5], { model }),
    ...runs('scales', i === 0 ? [0.51, 0.53, 0.51, 0.53] : [0.5, 0.5, 0.48, 0.48], { model }),
  ]);
  // Means 2 and -1, variances 4/3 each: 4/3 / 4 twice, of which the root over 2.
  assert.match(ablationsTable(records, ['default', 'scales']), /\| 1 \| 0 \| 1 \| 0 \| \+0\.50 ± 0\.41, 2 \|/);
});

test('files of several processes become one; a run that is there twice must be the same', () => {
  const own = runs('default', [0.8, 0.81]);
  const nameOf = ({ variant, seed }: AblationRecord) => `${variant} ${seed}`;
  const again = { ...own[1], seconds: 7 };
  assert.deepEqual(mergedRecords([own, [again], runs('scales', [0.7])], nameOf), [...own, ...runs('scales', [0.7])]);
  assert.throws(() => mergedRecords([own, [{ ...again, score: 0.5 }]], nameOf), /^Error: default 1: got two runs that/);
});

test('a file to merge has to be there, one of results need not; what is no JSON is named', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'espalier-ablations-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const [missing, cut] = ['missing.json', 'cut.json'].map((name) => path.join(folder, name));
  writeFileSync(cut, '[{');
  assert.deepEqual(await readRecords(missing), []);
  await assert.rejects(givenRecords(missing), {
    message: `--merge: ${missing}: got no such file, expected records of a study`,
  });
  await assert.rejects(givenRecords(cut), (error: Error) => error.message.startsWith(`${cut}: `));
  const args = [PROGRAM, '--results', path.join(folder, 'all.json'), '--merge', missing];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(status, 1);
  assert.ok(stderr.includes(`--merge: ${missing}: got no such file`), stderr);
  assert.deepEqual(readdirSync(folder), ['cut.json'], 'nothing is written');
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
