// Which rows are drawn, and the plan that a device class gets.
import assert from 'node:assert/strict';
import test from 'node:test';
import { drawRows, planSamples, tokensPerBatch } from '../../../coordinator/stages/plan.ts';
import type { DeviceClass } from '../../../shared/rpc/protocol.ts';
import { FAKE_DEVICE } from '../../support/fake-executor.ts';
import { samplesOf } from '../dataset/samples.ts';
import { modelConfig } from './configs.ts';

const GPU: DeviceClass = { ...FAKE_DEVICE, kind: 'gpu' };

const BERT = { vocabularySize: 30522, maxTokens: 512, headSize: 64 };
const BERT_BASE = modelConfig({ ...BERT, layers: 12, hiddenSize: 768, heads: 12, intermediateSize: 3072 });
const BERT_LARGE = modelConfig({ ...BERT, layers: 24, hiddenSize: 1024, heads: 16, intermediateSize: 4096 });

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
  assert.equal(tokensPerBatch(FAKE_DEVICE, BERT_BASE, 'gradients', samplesOf([384])), 2048);
  assert.equal(tokensPerBatch({ ...GPU, memoryGb: 128 }, BERT_BASE, 'gradients', samplesOf([128])), 16384);
  const samples = samplesOf(Array.from({ length: 512 }, (_, i) => 8 + (i % 90)));
  const batches = (device: typeof GPU) =>
    planSamples(samples, {
      ...{ config: modelConfig(), device, groupSize: 32, tokensPerBatch: 2048, heldOut: true },
    }).plan.shards.flatMap((shard) => shard.batches).length;
  assert.ok(batches(GPU) < batches(FAKE_DEVICE), `${batches(GPU)} and ${batches(FAKE_DEVICE)}`);
});

test("micro-batches are halved until the device's memory holds them beside the model", () => {
  const tokens = (memoryGb: number, kernels: string, longest: number, config = BERT_LARGE) =>
    tokensPerBatch({ ...GPU, memoryGb, kernels }, config, 'gradients', samplesOf([8, longest, 9]));
  assert.deepEqual(
    [128, 64, 32, 16, 8, 6].map((memoryGb) => tokens(memoryGb, 'fused', 384)),
    [16384, 16384, 8192, 4096, 1024, 512],
  );
  assert.ok(tokens(16, 'plain', 384) < tokens(16, 'fused', 384), 'plain operations keep more');
  assert.ok(tokens(24, 'fused', 64) > tokens(24, 'fused', 512), 'longer samples take more');
  assert.ok(tokens(16, 'fused', 384) < tokens(16, 'fused', 384, BERT_BASE), 'and so do larger models');
  assert.equal(tokens(0, 'fused', 384), 16384, 'memory that is not known');
  assert.ok(
    tokensPerBatch({ ...GPU, memoryGb: 8 }, BERT_LARGE, 'forward', samplesOf([384])) > tokens(8, 'plain', 384),
    'a forward pass keeps no layer',
  );
  assert.equal(tokensPerBatch(FAKE_DEVICE, BERT_LARGE, 'gradients', samplesOf([384])), 1024, 'on a CPU, of any memory');
});

test('a device that cannot hold one sample is refused with one line', () => {
  const device = { ...GPU, memoryGb: 4, kernels: 'fused' };
  assert.throws(() => tokensPerBatch(device, BERT_LARGE, 'gradients', samplesOf([512])), {
    code: 'out_of_memory',
    message: 'one sample of 512 tokens: got a GPU of 4 GB, expected 3.2 GB for the model and 1.0 GB for the sample',
    action: 'use a GPU with more memory, a larger --gpu-memory, or a smaller --max-length',
  });
  assert.equal(tokensPerBatch(device, BERT_LARGE, 'gradients', samplesOf([64])), 128);
});
