// Model cards: front matter that parses, numbers that are those of the report, code that names files that are there.
import assert from 'node:assert/strict';
import test from 'node:test';
import { parse } from 'yaml';
import { gradualSettings } from '../../../coordinator/gradual-settings.ts';
import type { PruneReport } from '../../../coordinator/prune-report.ts';
import { modelCard } from '../../../coordinator/report/model-card.ts';
import { BARE, sampleGradualReport, sampleLatencyBudget, sampleMaxDrop, sampleReport } from './sample-reports.ts';

const FILES = ['config.json', 'espalier_model.py', 'masks.json', 'model.safetensors', 'report.json', 'tokenizer.json'];

function metadataOf(card: string): Record<string, unknown> {
  const [, yaml = ''] = /^---\n([\s\S]*?)\n---\n/.exec(card) ?? [];
  return parse(yaml) as Record<string, unknown>;
}

/** Every number of the tables under a heading, by the name of its row. */
function rowsOf(card: string, heading: string): Record<string, string[]> {
  const [, section = ''] = new RegExp(`^## ${heading}\n([\\s\\S]*?)(?=^## |$(?![\\s\\S]))`, 'm').exec(card) ?? [];
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  return Object.fromEntries(
    lines.slice(2).map((line) => {
      const [name, ...cells] = line.slice(2, -2).split(' | ');
      return [name, cells];
    }),
  );
}

test('front matter as the Hub reads it, with the report’s own numbers', () => {
  const report = sampleReport(0.5);
  assert.deepEqual(metadataOf(modelCard(report, '0.5', FILES)), {
    base_model: 'bert-base-sst2',
    library_name: 'espalier',
    pipeline_tag: 'text-classification',
    tags: ['espalier', 'pruned', 'bert'],
    metrics: ['accuracy', 'f1'],
    'model-index': [
      {
        name: 'bert-base-sst2-0.5',
        results: [
          {
            task: { type: 'text-classification' },
            dataset: { name: 'dev.jsonl', type: 'dev.jsonl' },
            metrics: [
              { type: 'accuracy', value: report.scores.tune.accuracy, name: 'accuracy' },
              { type: 'f1', value: report.scores.tune.f1, name: 'f1' },
            ],
          },
        ],
      },
    ],
  });
});

test('of a gradual result: how it was made, how far its outputs are from the dense ones, its own stage as quality', () => {
  const report = sampleGradualReport(0.5);
  const card = modelCard(report, '0.5', FILES);
  assert.match(card, /found in 3 steps from gradients/);
  assert.match(card, /differ from the dense model's by 0\.0104,\na mean Kullback-Leibler divergence in nats/);
  assert.match(card, /how each step and the refit of each sub-layer went/);
  assert.match(card, /information\), with a refit of the output\nprojections/);
  const scaled = modelCard({ ...report, gradual: gradualSettings({ refit: 'scales' }) }, '0.5', FILES);
  assert.match(scaled, /information\), and\nscaled to the dense model's outputs by least squares in each/);
  const all = modelCard({ ...report, gradual: gradualSettings({ refit: 'all-weights' }) }, '0.5', FILES);
  assert.match(all, /information\), with a refit of the projections\nof each layer to what the dense model's make/);
  const byShare = modelCard({ ...report, gradual: gradualSettings({ refit: 'by-share' }) }, '0.5', FILES);
  assert.match(byShare, /output\nprojections, in steps below 0\.3 of the cost of all projections, to what/);
  assert.deepEqual(rowsOf(card, 'Quality').accuracy[1], report.scores.gradual.accuracy.toFixed(4));
  const entry = metadataOf(card)['model-index'] as { results: { metrics: { value: number }[] }[] }[];
  assert.equal(entry[0].results[0].metrics[0].value, report.scores.gradual.accuracy);
  assert.ok(Math.max(...card.split('\n').map((line) => line.length)) <= 180, 'lines as long as the others');
});

test('tables say what the report says', () => {
  const report = sampleReport(0.5);
  const card = modelCard(report, '0.5', FILES);
  const { dense, tune } = report.scores;
  assert.deepEqual(rowsOf(card, 'Quality'), {
    accuracy: [dense.accuracy.toFixed(4), tune.accuracy.toFixed(4)],
    f1: [dense.f1.toFixed(4), tune.f1.toFixed(4)],
  });
  const heads = report.heads.reduce((sum, kept) => sum + kept, 0);
  const neurons = report.neurons.reduce((sum, kept) => sum + kept, 0);
  const share = (kept: number, all: number) => `${((100 * kept) / all).toFixed(1)} %`;
  assert.deepEqual(rowsOf(card, 'Size'), {
    'MACs of the encoder at 25.4 tokens': ['2.17 G', '1.09 G', '50.0 %'],
    parameters: ['109.48 M', '66.50 M', share(report.parameters.pruned, report.parameters.dense)],
    'weight files': ['438.0 MB', '266.0 MB', share(report.bytes.pruned, report.bytes.dense)],
    'attention heads': ['144', String(heads), share(heads, 144)],
    'FFN neurons': ['36864', String(neurons), share(neurons, 36864)],
  });
  assert.deepEqual(rowsOf(card, 'Speed'), {
    'ONNX Runtime, 8 × 128 tokens, 1 thread': [
      ...['50.00 ms (47.50 ms to 62.50 ms)', '27.50 ms (26.13 ms to 34.38 ms)', '1.82 ×'],
    ],
    "Espalier's engine, 8 × 128 tokens, 1 thread": ['200 ms (190 ms to 250 ms)', '110 ms (105 ms to 138 ms)', '1.82 ×'],
  });
  const reproduced = rowsOf(card, 'How to reproduce it');
  assert.deepEqual(Object.values(reproduced), Array(5).fill([report.digest]));
  assert.match(card, /^npx espalier prune bert-base-sst2 \\\n {2}--data train\.jsonl \\$/m);
});

test('what was not measured is said to be so, and left out of the front matter', () => {
  const card = modelCard(sampleReport(0.5, { changes: BARE }), '0.5', FILES);
  const metadata = metadataOf(card);
  assert.ok(!('metrics' in metadata) && !('model-index' in metadata));
  assert.match(card, /## Quality\n\nNot measured\.\n\n## Speed\n\nNot measured\./);
  assert.match(card, /Its quality was not measured/);
});

test('a budget of time and an allowed loss are told with what came of them', () => {
  const of = (changes: Partial<PruneReport>) => modelCard(sampleReport(0.5, { changes }), '0.5', FILES);
  const found = sampleLatencyBudget();
  assert.ok(
    of({ latencyBudget: found }).includes(
      `It was to take 60.0 % of the dense model's time for 8 × 128 tokens in ONNX Runtime with 1 thread; measured: 61.3 %, within 5 % of that.
The table was kept from an earlier run: onnxruntime 1.2.3 on AMD EPYC 9654, 8 cores, the machine that measured.\n`,
    ),
  );
  const late = sampleLatencyBudget({ kind: 'latency-ms', value: 12, measuredByGoal: 1.1, met: false });
  assert.match(of({ latencyBudget: late }), /to take 12\.00 ms for .*; measured: 13\.20 ms, not within 5 % of that\./);
  const unknown = sampleLatencyBudget({ measuredByGoal: null, met: null, machine: 'a <b>' });
  assert.match(of({ latencyBudget: unknown }), /; it was not measured\.\n.* taken at its word, .* of a &lt;b&gt;\./);
  const maxDrop = sampleMaxDrop();
  assert.ok(
    of({ maxDrop }).includes(
      `It was to lose at most 0.01 of accuracy, by the bound of the loss: 0.0030 on 512 held-out
calibration samples, at most 0.0070 with a confidence of 0.99; it keeps to it.\n`,
    ),
  );
  const lost = { ...maxDrop, decidedBy: 'estimate' as const, written: { ...maxDrop.written, within: false } };
  assert.match(of({ maxDrop: lost }), /by the estimate of the loss:[^;]*; it does not keep to it\./);
  assert.doesNotMatch(of({}), /It was to/);
});

test('code names only files that are there, for each runtime that they allow', () => {
  const cases: [string[], Partial<PruneReport>, RegExp, RegExp | null][] = [
    [FILES, {}, /### PyTorch/, /### transformers|### ONNX/],
    [[...FILES, 'model.onnx'], {}, /### ONNX Runtime[\s\S]*model\.onnx/, /There is no ONNX file/],
    [FILES, { uniform: true } as object, /AutoModelForSequenceClassification\.from_pretrained/, /do not expect/],
    [FILES.filter((name) => name !== 'tokenizer.json'), {}, /AutoTokenizer/, /tokenizer\.json/],
    [FILES, { task: 'question-answering' }, /start_logits, end_logits = model/, null],
  ];
  for (const [files, changes, expected, forbidden] of cases) {
    const card = modelCard(sampleReport(0.5, { changes }), '0.5', files);
    assert.match(card, expected);
    if (forbidden !== null) assert.doesNotMatch(card, forbidden);
    const code = [...card.matchAll(/```python\n([\s\S]*?)```/g)].map(([, text]) => text).join('\n');
    const named = [...code.matchAll(/\{folder\}\/([\w.]+)|import (espalier_model)/g)].map(
      ([, file, module]) => file ?? `${module}.py`,
    );
    assert.ok(named.length > 0);
    for (const file of named) assert.ok(files.includes(file), file);
  }
  assert.equal(
    metadataOf(modelCard(sampleReport(0.5, { changes: { uniform: true } as object }), '0.5', FILES)).library_name,
    'transformers',
  );
  assert.deepEqual(metadataOf(modelCard(sampleReport(0.5), '0.5', [...FILES, 'model.onnx'])).tags, [
    'espalier',
    'pruned',
    'bert',
    'onnx',
  ]);
});

test('names of users and files are no markup and break no front matter', () => {
  const evil = 'a: [b]\n---\n# c | <script>`*_d_*`';
  const changes = {
    model: { name: evil, digest: 'aa', type: 'bert' },
    command: ['prune', '```\n</x>', '--data', evil],
  };
  const card = modelCard(sampleReport(0.5, { changes }), evil, FILES);
  assert.equal(metadataOf(card).base_model, undefined);
  const [model] = metadataOf(card)['model-index'] as { name: string }[];
  assert.equal(model.name, `${evil}-${evil}`);
  const body = card.slice(card.indexOf('\n---\n', card.indexOf('model-index')));
  const prose = body.replace(/^(`{3,})\w+\n[\s\S]*?\n\1$/gm, '');
  assert.doesNotMatch(prose, /<script|^# c|\*_d_/m);
  assert.match(body, /^````sh$/m);
});
