// The command line of a report: read back by the command itself, it gives the same settings.
import assert from 'node:assert/strict';
import test from 'node:test';
import { runCommandLine } from '../../../cli/run-command-line.ts';
import { GRADUAL_SETTINGS, gradualChanges, readGradual } from '../../../coordinator/gradual-settings.ts';
import type { PruneRequest, PruneSettings } from '../../../coordinator/prune-settings.ts';
import { commandWords, inputName, shellLine } from '../../../coordinator/report/command-words.ts';
import { benchSettings } from '../../bench/bench-settings.ts';

const USUAL: PruneSettings = benchSettings({
  ...{ model: 'bert', data: 'train.jsonl', out: 'pruned', samples: 2048, workers: undefined, device: 'auto' },
});

/** Every setting as it is not by itself. */
const OTHER: PruneRequest = {
  ...{ model: "my model's", data: 'a/train.csv', evaluation: 'dev.tsv' },
  columns: { text: 'a', textPair: 'b c', label: 'd', question: 'e', context: 'f', answers: 'g' },
  budgets: [
    { text: '0.50', value: 0.5 },
    { text: '0.3', value: 0.3 },
    { kind: 'latency', text: 'latency-0.60', value: 0.6 },
    { kind: 'latency-ms', text: 'latency-12.5ms', value: 12.5 },
  ],
  ...{ search: 'knapsack', neuronMultiple: 16 },
  ...{ seed: 7, samples: 99, replacement: true, fisherGroup: 5, labels: 'model', method: 'rearrange' },
  ...{ damping: 'reference', macsLength: 64, maxLength: 96, stride: 17, metric: 'f1', dtype: 'BF16', onnx: 'F16' },
  timing: { runtime: 'engine', batchSizes: [1, 16], lengths: [32, 64], threads: 3 },
};

const UNIFORM: PruneRequest = { ...OTHER, search: 'uniform' };

async function readBack(words: readonly string[]): Promise<PruneSettings> {
  const found: PruneSettings[] = [];
  const fail = () => Promise.reject(new Error('not asked for'));
  const exitCode = await runCommandLine(words, {
    ...{ stdout: { write: () => {} }, stderr: { write: () => {} } },
    ...{ env: {}, cwd: '/somewhere', signal: new AbortController().signal, now: () => 0, onExit: () => () => {} },
    jobs: {
      async prune(settings) {
        found.push(settings);
        throw new Error('enough');
      },
      evaluate: fail,
      profile: fail,
      inspect: fail,
      export: fail,
    },
    cluster: { connect: fail, openCampaign: fail, askHealth: fail, serve: fail },
  });
  assert.equal(exitCode, 70);
  return found[0];
}

const DROPS: PruneRequest = {
  ...USUAL,
  budgets: [{ text: '0.50', value: 0.5 }, ...['0.01', '0.020'].map((text) => drop(text))],
  ...{ maxDropConfidence: 0.9, metric: 'f1' },
};

function drop(text: string): PruneRequest['budgets'][number] {
  return { text: `max-drop-${text}`, value: Number(text), kind: 'max-drop' };
}

/** What the gradual method alone reads, each as it is not by itself. */
const GRADUAL: PruneRequest = {
  ...USUAL,
  method: 'gradual',
  ...gradualChanges(readGradual((_, values) => values[1])),
};
const ONE_DROP: PruneRequest = { ...USUAL, budgets: [drop('0.01')] };
/** As a job of one machine has it. */
const BY_TABLE = { ...OTHER, latencyTable: 'their table.json', otherMachine: true };
const CASES = {
  usual: USUAL,
  other: OTHER,
  table: BY_TABLE,
  uniform: UNIFORM,
  drops: DROPS,
  'one drop': ONE_DROP,
  gradual: GRADUAL,
};

for (const [name, request] of Object.entries(CASES))
  test(`${name} settings come back from the command line that they make`, async () => {
    const words = commandWords(request, request);
    const { out, force, resume, workers, ...asked } = await readBack(words);
    const { out: _, force: __, resume: ___, workers: ____, ...expected } = { ...USUAL, ...request };
    assert.deepEqual(asked, expected);
    assert.equal(out, 'pruned');
  });

test('names of inputs keep no folder of the machine, and are never flags', () => {
  assert.equal(inputName('examples/mini-sst2/'), 'examples/mini-sst2');
  assert.equal(inputName('./train.jsonl'), 'train.jsonl');
  assert.equal(inputName('/home/ada/secret/train.jsonl'), 'train.jsonl');
  assert.equal(inputName('../../ada/bert/'), 'bert');
  assert.equal(inputName('/x/--force'), './--force');
});

test('what only the gradual method reads is spelt out of a gradual job, and of no other', () => {
  const flags = Object.values(GRADUAL_SETTINGS).map(({ flag }) => `--${flag}`);
  const words = commandWords({ ...USUAL, method: 'gradual' }, USUAL);
  assert.ok(flags.every((flag) => words.includes(flag)) && !words.includes('--damping'), words.join(' '));
  assert.ok(!commandWords(USUAL, USUAL).some((word) => flags.includes(word)));
});

test('a line for the shell quotes what a shell would read otherwise', () => {
  assert.equal(shellLine(['prune', 'a b', "it's", '$(rm)', '--seed', '1']), `prune 'a b' 'it'\\''s' '$(rm)' --seed 1`);
});

test('a job that measured no speed names no batch', () => {
  const words = commandWords({ ...USUAL, timing: { ...USUAL.timing, batchSizes: [] } }, USUAL);
  assert.ok(words.includes('--runtime') && !words.includes('--batch-size'), words.join(' '));
});
