// The project's real models score what is known of them, and one that is pruned to half its size is nearly as good.
// They lie beside the project, not in it, and so do their data sets. Two evaluations take minutes on two cores: they run
// with ESPALIER_SLOW_TESTS=1.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dataFile, isMissing, modelFolder, REAL_MODELS } from '../support/real-models.ts';
import { openWorkspace } from '../support/run-cli.ts';

const workspace = await openWorkspace();

for (const { model, data, metric, score, tolerance, slow } of REAL_MODELS)
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
  const { dense, gradual } = report.quality;
  t.diagnostic(`dense ${dense}, gradual ${gradual}`);
  assert.ok(report.macs.pruned <= 0.5 * report.macs.dense);
  assert.ok(gradual! >= dense! - 0.02, `dense ${dense}, pruned ${gradual}`);
});
