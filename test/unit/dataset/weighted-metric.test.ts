// Metrics by weights: of examples that count once each the metric that is reported, of others that of the same examples
// standing in the data as often.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ModelConfig } from '../../../checkpoint/model-config.ts';
import { metricsOfTask, scoreSamples } from '../../../dataset/metrics.ts';
import type { DrawnSample, Scoring } from '../../../dataset/row-encoder.ts';
import { weightedMetric } from '../../../dataset/weighted-metric.ts';
import { randomStream } from '../../../pruning/random.ts';

const COUNT = 40;
const random = randomStream(3, 'weighted metric');
const noise = () => 4 * random.uniform() - 2;

interface Case {
  readonly config: ModelConfig;
  readonly scoring: Scoring;
  readonly drawn: DrawnSample[];
  readonly outputs: Float32Array[];
}

function makeCase(
  config: Partial<ModelConfig>,
  scoring: Scoring,
  tokens: number,
  targetOf: (i: number) => readonly number[],
): Case {
  const byToken = scoring.kind !== 'texts';
  const outputs = config.outputs ?? 1;
  return {
    config: config as ModelConfig,
    scoring,
    drawn: Array.from({ length: COUNT }, (_, i) => {
      const sample = {
        tokenIds: new Int32Array(tokens),
        typeIds: new Uint8Array(tokens),
        target: Float32Array.from(targetOf(i)),
      };
      const positions = Int32Array.from({ length: tokens - 3 }, (_, t) => 2 * t);
      const window =
        scoring.kind === 'questions' ? { position: 2, starts: positions, ends: positions.map((at) => at + 1) } : null;
      return { sample, truncated: false, window, row: i, draw: i };
    }),
    outputs: Array.from({ length: COUNT }, () =>
      Float32Array.from({ length: outputs * (byToken ? tokens : 1) }, noise),
    ),
  };
}

const LABELS = ['O', 'B-PER', 'I-PER', 'B-LOC'];
const words = 'abcdefgh'.split('');
const context = words.join(' ');
const CASES: Record<string, Case> = {
  'two classes': makeCase({ task: 'single-label-classification', outputs: 2 }, { kind: 'texts' }, 5, () => [
    random.integer(2),
  ]),
  'four classes': makeCase({ task: 'single-label-classification', outputs: 4 }, { kind: 'texts' }, 5, () => [
    random.integer(3),
  ]),
  'several labels': makeCase({ task: 'multi-label-classification', outputs: 3 }, { kind: 'texts' }, 5, () => [
    ...Array.from({ length: 3 }, () => random.integer(2)),
  ]),
  // Whole numbers, so that many are equal.
  regression: makeCase({ task: 'regression', outputs: 2 }, { kind: 'texts' }, 5, () => [random.integer(5), noise()]),
  words: makeCase({ task: 'token-classification', outputs: 4, labels: LABELS }, { kind: 'words' }, 7, () => [
    -100,
    ...Array.from({ length: 5 }, () => random.integer(4)),
    -100,
  ]),
  questions: makeCase(
    { task: 'question-answering', outputs: 2 },
    {
      kind: 'questions',
      contexts: Array.from({ length: COUNT }, () => context),
      golds: Array.from({ length: COUNT }, (_, i) =>
        i % 5 === 0 ? [] : [{ text: words.slice(i % 4, (i % 4) + 3).join(' '), start: 0, end: 1 }],
      ),
      unanswerable: true,
    },
    11,
    () => [0, 0],
  ),
};

for (const [name, { config, scoring, drawn, outputs }] of Object.entries(CASES))
  describe(name, () => {
    for (const metric of metricsOfTask(config.task))
      it(metric, () => {
        const measured = weightedMetric(config, scoring, drawn, outputs, metric, 'right');
        assert.equal(measured.examples, COUNT);
        const weights = new Int32Array(measured.units).fill(1, 0, COUNT);
        const once = scoreSamples(config, scoring, drawn, outputs).values[metric];
        assert.ok(Math.abs(measured.value(weights) - once) < 1e-12, 'each once');

        const times = Array.from({ length: COUNT }, () => random.integer(3));
        weights.set(times);
        const repeated = times.flatMap((count, i) => new Array<number>(count).fill(i));
        // A question's windows are told apart from another's by their draw.
        const again = repeated.map((i, draw) => ({ ...drawn[i], draw }));
        const direct = scoreSamples(
          config,
          scoring,
          again,
          repeated.map((i) => outputs[i]),
        ).values[metric];
        assert.ok(Math.abs(measured.value(weights) - direct) < 1e-12, `${measured.value(weights)} and ${direct}`);
      });
  });

describe('the imagined example', () => {
  for (const [name, { config, scoring, drawn, outputs }] of Object.entries(CASES))
    it(`${name}: ${name === 'regression' ? 'there is none' : 'lifts where it is right, lowers where it is wrong'}`, () => {
      for (const metric of metricsOfTask(config.task)) {
        const [right, wrong] = (['right', 'wrong'] as const).map((imagined) =>
          weightedMetric(config, scoring, drawn, outputs, metric, imagined),
        );
        assert.equal(right.units, COUNT + (name === 'regression' ? 0 : 1));
        const weights = new Int32Array(right.units).fill(1);
        assert.ok(
          name === 'regression'
            ? right.value(weights) === wrong.value(weights)
            : right.value(weights) > wrong.value(weights),
        );
      }
    });
});

it('refuses a metric of another task, and outputs of another size', () => {
  const { config, scoring, drawn, outputs } = CASES['two classes'];
  assert.throws(() => weightedMetric(config, scoring, drawn, outputs, 'spearman', 'right'), { code: 'usage' });
  assert.throws(() => weightedMetric(config, scoring, drawn, outputs.slice(1), null, 'right'), {
    code: 'shape_mismatch',
  });
});
