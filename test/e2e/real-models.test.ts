// The project's real models score what is known of them, and one that is pruned to half its size is nearly as good.
// They lie beside the project, not in it, and so do their data sets. Two evaluations take minutes on two cores: they run
// with ESPALIER_SLOW_TESTS=1.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';
import { openWorkspace } from '../support/run-cli.ts';

interface Known {
  readonly model: string;
  readonly data: string;
  readonly metric: string;
  readonly score: number;
  /** Half a unit of the last digit known, and room for a few rows on the edge: the weights are float16, and how the
   * scores were first computed is not known. Spans of answers have more ties. */
  readonly tolerance: number;
  readonly slow?: true;
}

const MODELS: readonly Known[] = [
  { model: 'mini-sst2', data: 'sst2', metric: 'accuracy', score: 0.8532, tolerance: 0.002 },
  { model: 'mini-mrpc', data: 'mrpc', metric: 'accuracy', score: 0.7059, tolerance: 0.002 },
  { model: 'mini-stsb', data: 'stsb', metric: 'spearman', score: 0.7455, tolerance: 0.002 },
  { model: 'mini-mnli', data: 'mnli', metric: 'accuracy', score: 0.5943, tolerance: 0.002, slow: true },
  { model: 'mini-squad', data: 'squad', metric: 'f1', score: 0.4386, tolerance: 0.01, slow: true },
  { model: 'distil-sst2', data: 'sst2', metric: 'accuracy', score: 0.8188, tolerance: 0.002 },
  { model: 'small-sst2', data: 'sst2', metric: 'accuracy', score: 0.8372, tolerance: 0.002 },
];

const shared = path.join(projectRoot(), '../shared');
const modelFolder = (model: string) => path.join(shared, 'models', model);
const dataFile = (data: string, split: 'train' | 'dev') => path.join(shared, 'data', data, `${split}.jsonl`);
const workspace = await openWorkspace();

/** Skips the test, with the reason, where its files are not there. */
function isMissing(t: TestContext, ...files: string[]): boolean {
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) t.skip(`${path.relative(projectRoot(), missing)} is not there`);
  return missing !== undefined;
}

for (const { model, data, metric, score, tolerance, slow } of MODELS)
  test(`${model}: ${metric} ${score}`, async (t) => {
    if (isMissing(t, modelFolder(model), dataFile(data, 'dev'))) return;
    if (slow && process.env.ESPALIER_SLOW_TESTS !== '1') return t.skip('slow: set ESPALIER_SLOW_TESTS=1 to run it');
    const report = await workspace.evaluate(modelFolder(model), '--data', dataFile(data, 'dev'), '--workers', '2');
    t.diagnostic(`${metric} ${report.scores[metric].toFixed(4)} of ${report.samples} samples`);
    assert.equal(report.metric, metric);
    assert.ok(Math.abs(report.scores[metric] - score) <= tolerance, `got ${report.scores[metric]}`);
  });

test('mini-sst2 at half its MACs loses at most two points of accuracy', async (t) => {
  const [model, train, dev] = [modelFolder('mini-sst2'), dataFile('sst2', 'train'), dataFile('sst2', 'dev')];
  if (isMissing(t, model, train, dev)) return;
  const [report] = await workspace.prune(
    ...[model, '--data', train, '--eval', dev, '--budget', '0.5', '--workers', '2', '--out', workspace.path('half')],
  );
  const { dense, search, rearrange, tune } = report.quality;
  t.diagnostic(`dense ${dense}, search ${search}, rearrange ${rearrange}, tune ${tune}`);
  assert.ok(report.macs.pruned <= 0.5 * report.macs.dense);
  assert.ok(tune! >= dense! - 0.02, `dense ${dense}, pruned ${tune}`);
});
