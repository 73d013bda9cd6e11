// Mistakes in flags: one clear line with all of them, its exit code, and nothing is written.
import { describeMistakes } from '../../support/mistakes.ts';
import { openWorkspace } from '../../support/run-cli.ts';

const workspace = await openWorkspace();

const drop = (value: string) => ({ without: ['budget'], flags: () => [`--max-drop=${value}`] });
const budget = (value: string) => ({ without: ['budget'], flags: () => [`--budget=${value}`] });

describeMistakes(workspace, 'flags', {
  'budget 0': { code: 'budget_out_of_range', ...budget('0'), texts: ['got 0, expected more than 0 and less than 1'] },
  'budget 1': { code: 'budget_out_of_range', ...budget('1'), texts: ['got 1, expected more than 0 and less than 1'] },
  'budget 1.5': { code: 'budget_out_of_range', ...budget('1.5'), texts: ['got 1.5'] },
  'budget below 0': { code: 'budget_out_of_range', ...budget('-0.5'), texts: ['got -0.5'] },
  'budget that is no number': { code: 'usage', ...budget('half'), texts: ['got half, expected a decimal fraction'] },
  'budget below what all heads cost': {
    code: 'budget_out_of_range',
    without: ['budget'],
    flags: () => ['--uniform', '--budget=0.01'],
    texts: ['got 0.01, expected at least 0.', 'which keeps all heads and one neuron a layer'],
  },
  'budget below the smallest': {
    code: 'budget_out_of_range',
    ...budget('0.0001,0.5'),
    texts: ['budget: got 0.0001, expected at least 0.00', 'a single unit'],
  },
  'max-drop 0': { code: 'budget_out_of_range', ...drop('0'), texts: ['--max-drop: got 0, expected more than 0'] },
  'max-drop below 0': { code: 'budget_out_of_range', ...drop('-0.01'), texts: ['--max-drop: got -0.01, expected'] },
  'max-drop 1': { code: 'budget_out_of_range', ...drop('1'), texts: ['--max-drop: got 1, expected', 'less than 1'] },
  'max-drop that is no number': { code: 'usage', ...drop('1%'), texts: ['--max-drop: got 1%, expected a decimal'] },
  'max-drop twice': { code: 'usage', ...drop('0.01,0.010'), texts: ['--max-drop: got 0.010 twice, expected distinct'] },
  'max-drop with labels of the model': {
    code: 'usage',
    flags: () => ['--max-drop', '0.01', '--labels', 'model'],
    texts: ['--max-drop: got --labels model, expected labels of the data'],
  },
  'a confidence of nothing': {
    code: 'usage',
    flags: () => ['--max-drop-confidence', '0.9'],
    texts: ['--max-drop-confidence: got no --max-drop'],
  },
  'a confidence out of range': {
    code: 'usage',
    flags: () => ['--max-drop', '0.01', '--max-drop-confidence', '1'],
    texts: ['--max-drop-confidence: got 1, expected a decimal fraction from 0.5 to 0.99'],
  },
  'unknown flag': {
    code: 'usage',
    flags: () => ['--no-such-flag'],
    texts: ['--no-such-flag', 'espalier prune --help'],
  },
  'misspelt flag': { code: 'usage', flags: () => ['--sample', '5'], texts: ["'--sample'", 'did you mean --samples'] },
  'several problems at once': {
    code: 'usage',
    without: ['data', 'budget'],
    flags: () => ['--samples', '0', '--dtype', 'int8'],
    texts: ['--data FILE: missing', '--budget FRACTION: missing', '--samples: got 0', '--dtype: got int8'],
  },
  'no workers': { code: 'usage', without: ['workers'], flags: () => ['--workers', '0'], texts: ['--workers: got 0'] },
  'an address that is none': {
    code: 'usage',
    flags: () => ['--worker', 'here'],
    texts: ['--worker: got here, expected host:port'],
  },
  'a metric of another task': {
    code: 'usage',
    flags: (folder) => ['--eval', `${folder}/data.jsonl`, '--metric', 'spearman'],
    texts: ['spearman', 'accuracy'],
  },
  'a length beyond the model': {
    code: 'usage',
    flags: () => ['--max-length', '33'],
    texts: ['got 33 tokens, expected 5 to 32 for this model', '--max-length'],
  },
});
