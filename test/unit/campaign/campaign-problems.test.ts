// Every kind of mistake that a campaign file can have, in its text, its form and its jobs: each is told with its line, all
// of one step at once.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { problemText } from '../../../coordinator/campaign/campaign-problem.ts';
import { checkSchema } from '../../../coordinator/campaign/check-schema.ts';
import { expandCampaign } from '../../../coordinator/campaign/expand-campaign.ts';
import { readCampaign } from '../../../coordinator/campaign/read-campaign.ts';

/** "LINE: place: [code] text" of everything that is found without looking at a file. */
function problemsOf(text: string): string[] {
  const read = readCampaign(text);
  if (read.problems.length > 0) return read.problems.map((problem) => `${problem.line}: ${problemText(problem)}`);
  const checked = checkSchema(read.value);
  const problems = 'problems' in checked ? checked.problems : expandCampaign(checked.campaign).problems;
  const located = problems.map((problem) => ({ problem, line: read.lineOf(problem.path) }));
  return located.sort((a, b) => a.line - b.line).map(({ problem, line }) => `${line}: ${problemText(problem)}`);
}

const RIGHT = `name: trial
defaults: {data: train.jsonl, budgets: [0.5]}
jobs:
  - model: bert
`;
/** A job with more settings, at line 4. */
const job = (settings: string) => `name: trial
defaults: {data: train.jsonl, budgets: [0.5]}
jobs:
  - {model: bert, ${settings}}
`;
const COUNT = 'expected a whole number from 1 to 2147483647';
const NAME =
  'expected a name of letters, digits, ".", "_" and "-" that starts with a letter or digit, at most 100 of them';

describe('the text of a campaign file', () => {
  for (const [what, text, expected] of [
    ['nothing', '', ['1: [campaign_format] got nothing, expected keys with values']],
    ['a list', '- a\n', ['1: [campaign_format] got a list of 1, expected keys with values']],
    ['no YAML', 'name: [a\n', [/^\d: \[campaign_format\] .*flow/i]],
    ['two documents', `${RIGHT}---\n${RIGHT}`, [/^5: \[campaign_format\] .*multiple documents/i]],
    ['a key twice', `name: again\n${RIGHT}`, [/^2: \[campaign_format\] .*unique/i]],
    ['a tag that makes objects', 'name: !!js/function "f"\njobs: []\n', [/^1: \[campaign_format\] .*tag/i]],
    ['a binary tag', 'name: !!binary aGk=\njobs: []\n', [/^1: \[campaign_format\] .*tag/i]],
    ['an unknown anchor', 'name: *nobody\n', [/^\d: \[campaign_format\] .*(alias|anchor)/i]],
    ['brackets without end', '['.repeat(50_000), [/^1: \[campaign_format\]/]],
    [
      'more than 4 MiB',
      `# ${'x'.repeat(4 * 1024 * 1024)}`,
      ['1: [campaign_format] got 4194306 bytes, expected at most 4194304'],
    ],
  ] as const)
    it(`refuses ${what}`, () => {
      const problems = problemsOf(text);
      for (const [i, one] of expected.entries())
        if (typeof one === 'string') assert.equal(problems[i], one);
        else assert.match(problems[i] ?? '', one);
    });

  it('refuses aliases that grow without end, in a moment', () => {
    const levels = Array.from({ length: 12 }, (_, i) => {
      const inner = i === 0 ? '"x"' : `*l${i - 1}`;
      return `l${i}: &l${i} [${Array.from({ length: 10 }, () => inner).join(', ')}]`;
    });
    const [problem] = problemsOf(`${levels.join('\n')}\n${RIGHT}`);
    assert.match(
      problem ?? '',
      /^\d+: \[campaign_format\] (cannot be read: .*[Aa]lias|got more than a campaign can hold)/,
    );
  });

  it('takes anchors and aliases for what they stand for', () => {
    assert.deepEqual(
      problemsOf(
        `name: trial\njobs:\n  - &one {model: a, data: &d d.csv, budgets: [0.5]}\n  - {model: b, data: *d, budgets: [0.5]}\n`,
      ),
      [],
    );
  });
});

describe('the form of a campaign', () => {
  it('has nothing wrong with a right one, as YAML and as JSON', () => {
    assert.deepEqual(problemsOf(RIGHT), []);
    assert.deepEqual(problemsOf(JSON.stringify(readCampaign(RIGHT).value)), []);
  });

  for (const [settings, expected] of [
    ['modle: x', 'jobs[0].modle: [campaign_format] unknown; did you mean model?'],
    ['fisher_group: 3', 'jobs[0].fisher_group: [campaign_format] unknown; did you mean fisher-group?'],
    ['out: x', 'jobs[0].out: [campaign_format] unknown'],
    ['__proto__: {}', 'jobs[0].__proto__: [campaign_format] unknown'],
    ['samples: 0', `jobs[0].samples: [campaign_format] got 0, ${COUNT}`],
    ['samples: 1.5', `jobs[0].samples: [campaign_format] got 1.5, ${COUNT}`],
    ['samples: "7"', `jobs[0].samples: [campaign_format] got "7", ${COUNT}`],
    ['samples: ', `jobs[0].samples: [campaign_format] got nothing, ${COUNT}`],
    ['samples: .nan', `jobs[0].samples: [campaign_format] got NaN, ${COUNT}`],
    ['fisher-group: -1', `jobs[0].fisher-group: [campaign_format] got -1, ${COUNT}`],
    ['macs-length: x', `jobs[0].macs-length: [campaign_format] got "x", ${COUNT}`],
    [
      'seed: 4294967296',
      'jobs[0].seed: [campaign_format] got 4294967296, expected a whole number from 0 to 4294967295',
    ],
    ['max-length: 1', 'jobs[0].max-length: [campaign_format] got 1, expected a whole number from 2 to 1000000'],
    ['stride: -1', 'jobs[0].stride: [campaign_format] got -1, expected a whole number from 0 to 1000000'],
    ['priority: 101', 'jobs[0].priority: [campaign_format] got 101, expected a whole number from -100 to 100'],
    ['replacement: yes', 'jobs[0].replacement: [campaign_format] got "yes", expected true or false'],
    [
      'method: papers',
      'jobs[0].method: [campaign_format] got "papers", expected gradual, paper, rearrange, search; did you mean paper?',
    ],
    [
      'method: gradual, damping: ridge',
      'jobs[0].damping: [campaign_format] got ridge with the method gradual, which tunes no scales; expected the method paper, or no damping',
    ],
    [
      'method: gradual, fisher-group: 4',
      "jobs[0].fisher-group: [campaign_format] got 4 with the method gradual, which takes each sample's gradient alone; expected the method paper, or no group",
    ],
    [
      'method: paper, position-weights: gradient',
      'jobs[0].position-weights: [campaign_format] got gradient with the method paper, which prunes once; expected the method gradual, or no position-weights',
    ],
    ['gradual-steps: two', 'jobs[0].gradual-steps: [campaign_format] got "two", expected grid, one'],
    [
      'split: divergence, uniform: true',
      "jobs[0].split: [campaign_format] got divergence with the search uniform, expected the paper's, or the split importance",
    ],
    ['rearrange-steps: maybe', 'jobs[0].rearrange-steps: [campaign_format] got "maybe", expected off, on'],
    ['damping: none', 'jobs[0].damping: [campaign_format] got "none", expected ridge, reference'],
    ['search: best', 'jobs[0].search: [campaign_format] got "best", expected paper, knapsack'],
    ['neuron-multiple: 5', 'jobs[0].neuron-multiple: [campaign_format] got 5, expected 1, 8, 16, 32, 64'],
    [
      'neuron-multiple: 8',
      "jobs[0].neuron-multiple: [campaign_format] got 8 with the paper's search, which keeps any number; expected the knapsack search or uniform layers",
    ],
    ['uniform: 1', 'jobs[0].uniform: [campaign_format] got 1, expected true or false'],
    [
      'uniform: true, search: knapsack',
      'jobs[0].uniform: [campaign_format] got true with search knapsack, expected one of the two',
    ],
    ['labels: 3', 'jobs[0].labels: [campaign_format] got 3, expected data, model'],
    ['dtype: F16', 'jobs[0].dtype: [campaign_format] got "F16", expected float32, float16, bfloat16'],
    [
      'onnx: bfloat16',
      'jobs[0].onnx: [campaign_format] got "bfloat16", expected float32, float16; did you mean float16?',
    ],
    ['metric: ""', 'jobs[0].metric: [campaign_format] got "", expected a text of 1 to 256 characters'],
    [
      'text-column: [a]',
      'jobs[0].text-column: [campaign_format] got a list of 1, expected a text of 1 to 256 characters',
    ],
    ['name: a/b', `jobs[0].name: [campaign_format] got "a/b", ${NAME}`],
    ['name: ""', `jobs[0].name: [campaign_format] got "", ${NAME}`],
    ['eval: 3', 'jobs[0].eval: [campaign_format] got 3, expected a path, or volume and path'],
    ['eval: {volume: v}', 'jobs[0].eval.path: [campaign_format] missing'],
    ['eval: {volume: v, path: a, to: b}', 'jobs[0].eval.to: [campaign_format] unknown'],
    [
      'eval: {volume: v, path: ../a}',
      'jobs[0].eval.path: [campaign_format] expected parts with / between them, none of them . or ..',
    ],
    [
      'eval: {volume: v, path: /a}',
      'jobs[0].eval.path: [campaign_format] expected parts with / between them, none of them . or ..',
    ],
    ['budgets: 0.5', 'jobs[0].budgets: [campaign_format] got 0.5, expected a list'],
    ['budgets: []', 'jobs[0].budgets: [campaign_format] got a list of 0, expected at least 1'],
    ['budgets: [1]', 'jobs[0].budgets[0]: [budget_out_of_range] got 1, expected more than 0 and less than 1'],
    ['budgets: [-0.5]', 'jobs[0].budgets[0]: [budget_out_of_range] got -0.5, expected more than 0 and less than 1'],
    ['budgets: ["1.5"]', 'jobs[0].budgets[0]: [budget_out_of_range] got 1.5, expected more than 0 and less than 1'],
    [
      'budgets: [0.5, half]',
      'jobs[0].budgets[1]: [campaign_format] got "half", expected a decimal fraction such as 0.5',
    ],
    ['budgets: [1.0e-9]', 'jobs[0].budgets[0]: [campaign_format] got 1e-9, expected a decimal fraction such as 0.5'],
    ['budgets: [0.5, "0.50"]', 'jobs[0].budgets[1]: [campaign_format] got 0.5 and 0.50, expected distinct budgets'],
    [
      `budgets: [${Array.from({ length: 64 }, (_, i) => (i + 1) / 100).join(', ')}]`,
      'jobs[0].budgets: [campaign_format] got a list of 64, expected at most 63',
    ],
    ['metric: f1', 'jobs[0].metric: [campaign_format] got f1 without eval, expected samples to measure it on'],
  ] as const)
    it(`refuses ${settings.slice(0, 60)}`, () => assert.deepEqual(problemsOf(job(settings)), [`4: ${expected}`]));

  for (const [what, text, expected] of [
    ['no name', 'jobs: [{model: a, data: b, budgets: [0.5]}]', ['1: name: [campaign_format] missing']],
    ['no jobs', 'name: a', ['1: jobs: [campaign_format] missing']],
    ['an empty list of jobs', 'name: a\njobs: []', ['2: jobs: [campaign_format] got a list of 0, expected at least 1']],
    [
      'a job that is a text',
      'name: a\njobs:\n  - bert',
      ['3: jobs[0]: [campaign_format] got "bert", expected keys with values'],
    ],
    ['an unknown key at the top', `${RIGHT}job: []`, ['5: job: [campaign_format] unknown; did you mean jobs?']],
    [
      'a name among the defaults',
      'name: a\ndefaults: {name: x}\njobs: [{}]',
      ['2: defaults.name: [campaign_format] unknown'],
    ],
    [
      'jobs without what each needs',
      'name: a\njobs:\n  - seed: 1\n  - {model: a, data: b}\n',
      [
        '3: jobs[0].model: [campaign_format] missing, here and in defaults',
        '3: jobs[0].data: [campaign_format] missing, here and in defaults',
        '3: jobs[0].budgets: [campaign_format] missing, here and in defaults',
        '4: jobs[1].budgets: [campaign_format] missing, here and in defaults',
      ],
    ],
    [
      'two jobs of one name',
      'name: a\ndefaults: {model: m, data: d, budgets: [0.5]}\njobs:\n  - name: x\n  - name: x\n',
      ['5: jobs[1].name: [campaign_format] got "x", which jobs[0] has too'],
    ],
    [
      'a mistake of the defaults, once for all jobs that it reaches',
      'name: a\ndefaults: {model: m, data: d, budgets: [0.5, 2, "0.50"]}\njobs: [{}, {}]\n',
      ['2: defaults.budgets[1]: [budget_out_of_range] got 2, expected more than 0 and less than 1'],
    ],
    [
      'more than one mistake, all at once',
      'name: a b\ndefaults: {seeds: 1}\njobs:\n  - samples: 0\n    method: x\n',
      [
        `1: name: [campaign_format] got "a b", ${NAME}`,
        '2: defaults.seeds: [campaign_format] unknown; did you mean seed?',
        `4: jobs[0].samples: [campaign_format] got 0, ${COUNT}`,
        '5: jobs[0].method: [campaign_format] got "x", expected gradual, paper, rearrange, search',
      ],
    ],
  ] as const)
    it(`refuses ${what}`, () => assert.deepEqual(problemsOf(text), expected));

  it('refuses more than it could work on: values, keys, levels', () => {
    const tooMuch = /^1: \[campaign_format\] got more than a campaign can hold/;
    const deep = `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`;
    const wide = JSON.stringify(Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, 1])));
    const many = JSON.stringify({ name: 'a', jobs: Array.from({ length: 600_000 }, () => 1) });
    for (const text of [deep, wide, many]) assert.match(problemsOf(text)[0] ?? '', tooMuch);
  });

  it('shows nothing of a text that would steer a terminal', () => {
    const [problem] = problemsOf(job('dtype: "\\e[2J\\u202e"'));
    assert.equal(problem, '4: jobs[0].dtype: [campaign_format] got "?[2J?", expected float32, float16, bfloat16');
  });
});
