// Real models score on the GPU what they score on a CPU, and pruned to half their MACs what the published method reaches.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PUBLISHED } from '../bench/published-quality.ts';
import { dataFile, isMissing, modelFolder, REAL_MODELS } from '../support/real-models.ts';
import { openWorkspace } from '../support/run-cli.ts';
import { requireGpu, testedDevice } from './require-gpu.ts';

/** Standard deviations of the published method's seeds that one seed may lie below their mean. */
const DEVIATIONS = 3;

requireGpu();
const workspace = await openWorkspace();

for (const name of ['mini-sst2', 'mini-mnli'])
  test(`${name} and its half`, async (t) => {
    const { data, score, tolerance } = REAL_MODELS.find(({ model }) => model === name)!;
    const [model, train, dev] = [modelFolder(name), dataFile(data, 'train'), dataFile(data, 'dev')];
    if (isMissing(t, model, train, dev)) return;
    const files = [model, '--data', train, '--eval', dev, '--out', workspace.path(name)];
    const [report] = await workspace.prune(
      ...files,
      '--budget',
      '0.5',
      '--method',
      'paper',
      '--device',
      testedDevice(),
    );
    const { dense, search, rearrange, tune } = report.quality;
    t.diagnostic(`dense ${dense}, search ${search}, rearrange ${rearrange}, tune ${tune}`);
    assert.equal(report.deviceClass.kind, testedDevice());
    assert.ok(report.macs.pruned <= 0.5 * report.macs.dense);
    assert.ok(Math.abs(dense! - score) <= tolerance, `dense ${dense}, known ${score}`);
    const { mean, deviation } = PUBLISHED[name].budgets['0.5'];
    const least = (mean - DEVIATIONS * deviation) / 100;
    assert.ok(tune! >= least, `pruned ${tune}, expected at least ${least.toFixed(4)}`);
  });
