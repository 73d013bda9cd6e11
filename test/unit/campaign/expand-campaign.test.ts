// What jobs a campaign means: defaults, names, settings.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { checkSchema, SCHEMA_FILE } from '../../../coordinator/campaign/check-schema.ts';
import { type CampaignJob, expandCampaign } from '../../../coordinator/campaign/expand-campaign.ts';
import { readCampaign } from '../../../coordinator/campaign/read-campaign.ts';
import { projectRoot } from '../../../shared/project-root.ts';

function jobsOf(text: string): CampaignJob[] {
  const read = readCampaign(text);
  assert.deepEqual(read.problems, []);
  const checked = checkSchema(read.value);
  assert.ok('campaign' in checked, JSON.stringify(checked));
  const { jobs, problems } = expandCampaign(checked.campaign);
  assert.deepEqual(problems, []);
  return jobs;
}

describe('expandCampaign', () => {
  it('fills in the defaults of espalier prune', () => {
    assert.deepEqual(jobsOf('name: a\njobs: [{model: m/bert, data: d.csv, budgets: [.5, "0.60"]}]'), [
      {
        name: 'bert',
        priority: 0,
        model: 'm/bert',
        data: 'd.csv',
        evaluation: null,
        settings: {
          columns: {},
          budgets: [
            { text: '0.5', value: 0.5 },
            { text: '0.60', value: 0.6 },
          ],
          seed: 0,
          samples: 2048,
          replacement: false,
          fisherGroup: null,
          labels: 'data',
          method: 'gradual',
          damping: 'ridge',
          search: 'paper',
          neuronMultiple: 1,
          macsLength: null,
          maxLength: null,
          stride: 128,
          metric: null,
          timing: { runtime: 'onnxruntime', batchSizes: [8], lengths: [], threads: 0 },
          dtype: null,
        },
      },
    ]);
  });

  it('takes budgets of time in place of shares of MACs, or beside them', () => {
    const [only, beside] = jobsOf(
      'name: a\ndefaults: {model: m, data: d}\njobs: [{latency: [0.6]}, {budgets: [0.5], latency-ms: [12, "20"]}]',
    );
    assert.deepEqual(only.settings.budgets, [{ kind: 'latency', text: 'latency-0.6', value: 0.6 }]);
    assert.deepEqual(
      beside.settings.budgets.map(({ text }) => text),
      ['0.5', 'latency-12ms', 'latency-20ms'],
    );
  });

  it('reads every setting, of a job before those of defaults', () => {
    const [job] = jobsOf(`
name: a
defaults: {model: m, data: d, budgets: [0.5], seed: 1, method: search, priority: 3}
jobs:
  - name: all
    model: {volume: models, path: a/b}
    eval: e.csv
    seed: 7
    priority: -4
    samples: 16
    replacement: true
    fisher-group: 4
    labels: model
    damping: reference
    search: knapsack
    neuron-multiple: 16
    macs-length: 64
    max-length: 96
    stride: 0
    metric: f1
    runtime: engine
    batch-size: [1, 4]
    length: 16
    threads: 3
    dtype: bfloat16
    onnx: float16
    text-column: t
    text-pair-column: p
    label-column: l
    question-column: q
    context-column: c
    answers-column: s
`);
    assert.deepEqual(job, {
      name: 'all',
      priority: -4,
      model: { volume: 'models', path: 'a/b' },
      data: 'd',
      evaluation: 'e.csv',
      settings: {
        columns: { text: 't', textPair: 'p', label: 'l', question: 'q', context: 'c', answers: 's' },
        budgets: [{ text: '0.5', value: 0.5 }],
        seed: 7,
        samples: 16,
        replacement: true,
        fisherGroup: 4,
        labels: 'model',
        method: 'search',
        damping: 'reference',
        search: 'knapsack',
        neuronMultiple: 16,
        macsLength: 64,
        maxLength: 96,
        stride: 0,
        metric: 'f1',
        timing: { runtime: 'engine', batchSizes: [1, 4], lengths: [16], threads: 3 },
        dtype: 'BF16',
        onnx: 'F16',
      },
    });
  });

  it('takes uniform layers for a search of its own', () => {
    const text = 'name: a\njobs: [{model: m, data: d, budgets: [0.5], uniform: true, neuron-multiple: 8}]';
    const [{ settings }] = jobsOf(text);
    assert.deepEqual([settings.search, settings.neuronMultiple], ['uniform', 8]);
  });

  it('names jobs after their model, each once, whatever the order', () => {
    const names = (jobs: string) =>
      jobsOf(`name: a\ndefaults: {data: d, budgets: [0.5]}\njobs: [${jobs}]`).map(({ name }) => name);
    assert.deepEqual(names('{model: bert}, {model: x/bert/}, {model: ./bert}'), ['bert', 'bert-2', 'bert-3']);
    assert.deepEqual(names('{model: bert}, {model: b, name: bert}'), ['bert-2', 'bert']);
    assert.deepEqual(names('{model: "my model (1)"}, {model: ..}, {model: {volume: v, path: a/b}}'), [
      'my-model-1-',
      'job',
      'b',
    ]);
  });
});

describe('campaign.schema.json', () => {
  const schema = JSON.parse(readFileSync(path.join(projectRoot(), SCHEMA_FILE), 'utf8')) as {
    readonly $defs: { readonly settings: { readonly properties: object } };
  };

  it('describes every field', () => {
    const fields: string[] = [];
    const visit = (node: unknown, place: string) => {
      if (typeof node !== 'object' || node === null) return;
      for (const [key, value] of Object.entries(node)) {
        if (key === 'properties')
          for (const [name, field] of Object.entries(value as Record<string, { description?: string }>)) {
            fields.push(name);
            assert.match(field.description ?? '', /\.$|\.\.$/, `${place}/${name}`);
          }
        visit(value, `${place}/${key}`);
      }
    };
    visit(schema, '');
    assert.ok(fields.includes('fisher-group') && fields.length > 25, fields.join());
  });

  it('names the same settings as the flags of espalier prune, and docs/campaign.md describes each', () => {
    const docs = readFileSync(path.join(projectRoot(), 'docs/campaign.md'), 'utf8');
    for (const name of Object.keys(schema.$defs.settings.properties))
      assert.match(docs, new RegExp(`^\\| \`${name}\` \\|`, 'm'));
  });
});

it('examples/campaign.yaml is right', () => {
  const jobs = jobsOf(readFileSync(path.join(projectRoot(), 'examples/campaign.yaml'), 'utf8'));
  assert.deepEqual(
    jobs.map(({ name, priority, settings }) => [name, priority, settings.budgets.length, settings.method]),
    [
      ['half', 10, 1, 'gradual'],
      ['small-and-smaller', 0, 2, 'gradual'],
      ['half-of-other-samples', 0, 1, 'gradual'],
      ['half-by-search', -10, 1, 'search'],
    ],
  );
});
