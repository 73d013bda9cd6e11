// Which rows are drawn, and the plan that a device class gets.
import assert from 'node:assert/strict';
import test from 'node:test';
import { drawRows, planSamples, tokensPerBatch } from '../../../coordinator/stages/plan.ts';
import type { DeviceClass } from '../../../shared/rpc/protocol.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { samplesOf } from '../dataset/samples.ts';
import { modelConfig } from './configs.ts';

const GPU: DeviceClass = { ...FAKE_DEVICE, kind: 'gpu' };

test('without replacement every row comes once, in an order of the seed', () => {
  const rows = drawRows(100, 20, 7, false);
  assert.deepEqual(
    [...rows].sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.deepEqual(drawRows(100, 20, 7, false), rows);
  assert.notDeepEqual(drawRows(100, 20, 8, false), rows);
  // How many are wanted does not move those that come first.
  assert.deepEqual(drawRows(100, 90, 7, false), rows);
});

test('with replacement as many as asked for, with repeats, each row as often as the others', () => {
  const rows = drawRows(10, 10_000, 7, true);
  assert.equal(rows.length, 10_000);
  assert.deepEqual(drawRows(10, 10_000, 7, true), rows);
  assert.notDeepEqual(drawRows(10, 10_000, 8, true), rows);
  // 1000 of each are expected; four standard deviations of a binomial count are 120.
  for (let row = 0; row < 10; row++) {
    const times = rows.filter((drawn) => drawn === row).length;
    assert.ok(Math.abs(times - 1000) < 120, `row ${row}: ${times} times`);
  }
  assert.deepEqual(drawRows(10, 5, 7, true), rows.slice(0, 5));
});

test('a plan: the blob is named by its content, a quarter is held out, none of evaluation data', () => {
  const samples = samplesOf(Array.from({ length: 128 }, (_, i) => 4 + (i % 9)));
  const options = { config: modelConfig(), device: FAKE_DEVICE, groupSize: 4, tokensPerBatch: 64, heldOut: true };
  const { plan, blob } = planSamples(samples, options);
  assert.equal(plan.shards.length, 16);
  assert.equal(plan.fitShards, 12);
  assert.equal(planSamples(samples, options).blob.digest, blob.digest);
  assert.notEqual(planSamples(samples, { ...options, tokensPerBatch: 32 }).blob.digest, blob.digest);
  const evaluation = planSamples(samples, { ...options, groupSize: 1, heldOut: false }).plan;
  assert.equal(evaluation.fitShards, evaluation.shards.length);
});

test('a GPU gets larger micro-batches than a CPU, and fewer of them', () => {
  assert.ok(tokensPerBatch(GPU) > tokensPerBatch(FAKE_DEVICE));
  const samples = samplesOf(Array.from({ length: 512 }, (_, i) => 8 + (i % 90)));
  const batches = (device: typeof GPU) =>
    planSamples(samples, {
      ...{ config: modelConfig(), device, groupSize: 32, tokensPerBatch: 2048, heldOut: true },
    }).plan.shards.flatMap((shard) => shard.batches).length;
  assert.ok(batches(GPU) < batches(FAKE_DEVICE), `${batches(GPU)} and ${batches(FAKE_DEVICE)}`);
});
