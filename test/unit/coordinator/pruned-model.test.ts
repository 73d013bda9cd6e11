// What is counted of a pruned model is read from any report, or left out.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RUNTIMES } from '../../../coordinator/prune-settings.ts';
import { prunedModel } from '../../../coordinator/pruned-model.ts';
import { SPEED_RUNTIMES } from '../../../shared/telemetry/coordinator-metrics.ts';

const quality = { dense: 0.9, search: 0.8, rearrange: 0.85, tune: null };

it('the drop of accuracy is that after the last stage', () => {
  assert.equal(prunedModel({ method: 'search', quality }).accuracyDrop?.toFixed(3), '0.100');
  assert.equal(prunedModel({ method: 'paper', quality }).accuracyDrop, null);
  assert.equal(prunedModel({ method: 'paper', quality: { ...quality, tune: 0.7 } }).accuracyDrop?.toFixed(3), '0.200');
  assert.equal(
    prunedModel({ method: 'gradual', quality: { ...quality, gradual: 0.88 } }).accuracyDrop?.toFixed(3),
    '0.020',
  );
  assert.equal(
    prunedModel({ method: 'tune', quality: { ...quality, tune: 0.7 } }).accuracyDrop?.toFixed(3),
    '0.200',
    'of an earlier version',
  );
});

it('MACs are a share of the dense ones', () => {
  assert.equal(prunedModel({ macs: { dense: 200, pruned: 90 } }).macsKept, 0.45);
});

it('each runtime counts once, with its first shape', () => {
  const measured = (runtime: string, dense: number, pruned: number) => ({
    runtime,
    dense: { median: dense },
    pruned: { median: pruned },
  });
  const speed = [measured('engine', 3, 2), measured('onnxruntime', 4, 2), measured('engine', 9, 1)];
  assert.deepEqual(prunedModel({ speed }).speedups, new Map(Object.entries({ onnxruntime: 2, engine: 1.5 })));
  assert.deepEqual(prunedModel({ speed: [measured('a runtime of tomorrow', 4, 2)] }).speedups, new Map());
});

it('the runtimes of the metric are those that jobs measure in', () => {
  assert.deepEqual([...SPEED_RUNTIMES], [...RUNTIMES]);
});

it('what a report does not tell is left out', () => {
  const nothing = { accuracyDrop: null, macsKept: null, speedups: new Map() };
  for (const report of [null, undefined, {}, { quality: {} }, 'text', { method: 'tune' }])
    assert.deepEqual(prunedModel(report), nothing);
});
