// Plans: whole groups, every sample once, micro-batches within the limit and as cheap as any.
import assert from 'node:assert/strict';
import test from 'node:test';
import { makePlan, type PlanLimits, packBatches, paddedTokens, planTokens } from '../../../dataset/plan.ts';
import { encodePlan } from '../../../dataset/plan-blob.ts';
import { randomStream } from '../../../pruning/random.ts';
import { samplesOf } from './samples.ts';

const LIMITS: PlanLimits = { groupSize: 4, tokensPerBatch: 64, tokensPerShard: 100, leastShards: 3, heldOut: 0.25 };
/** Tokens that one more micro-batch costs, as plan.ts has it. */
const OVERHEAD_TOKENS = 48;

function randomLengths(count: number, seed: number): number[] {
  const random = randomStream(seed, 'lengths');
  return Array.from({ length: count }, () => 1 + random.integer(40));
}

test('shards follow each other and hold whole groups; every sample is in one micro-batch, once', () => {
  for (const [count, groupSize] of [
    [1, 4],
    [3, 4],
    [4, 4],
    [57, 4],
    [57, 1],
    [57, 100],
  ]) {
    const lengths = randomLengths(count, count);
    const { shards } = makePlan(samplesOf(lengths), { ...LIMITS, groupSize });
    let next = 0;
    for (const shard of shards) {
      assert.equal(shard.firstSample, next);
      assert.equal(shard.firstSample % groupSize, 0);
      assert.ok(shard.endSample > shard.firstSample, 'no shard is empty');
      next = shard.endSample;
      const members = shard.batches.flatMap((batch) => [...batch.members]).sort((a, b) => a - b);
      assert.deepEqual(
        members,
        Array.from({ length: shard.endSample - shard.firstSample }, (_, i) => shard.firstSample + i),
      );
    }
    assert.equal(next, count);
  }
});

test('a micro-batch is as long as its longest sample and keeps to the limit, but for one long sample alone', () => {
  const lengths = [...randomLengths(60, 2), 90, 64];
  for (const { batches } of makePlan(samplesOf(lengths), LIMITS).shards)
    for (const { members, tokens } of batches) {
      assert.equal(tokens, Math.max(...[...members].map((member) => lengths[member])));
      assert.ok(members.length === 1 || members.length * tokens <= LIMITS.tokensPerBatch);
    }
});

test('rounded lengths are the next multiple, of long samples alone, and not beyond the most', () => {
  const rounding = { multiple: 4, from: 9, most: 18 };
  const [shard] = makePlan(samplesOf([5, 9, 12, 13, 17, 18, 30]), {
    ...{ groupSize: 7, tokensPerBatch: 1, tokensPerShard: 1000, leastShards: 1, heldOut: 0 },
    rounding,
  }).shards;
  assert.deepEqual(
    shard.batches.map(({ tokens }) => tokens),
    [5, 12, 12, 16, 18, 18, 30],
  );
});

test('no way to cut the sorted samples costs less, by trying all of them', () => {
  for (let seed = 0; seed < 20; seed++) {
    const lengths = randomLengths(9, seed);
    const samples = samplesOf(lengths);
    const sorted = [...lengths].sort((a, b) => a - b);
    let least = Number.POSITIVE_INFINITY;
    for (let cuts = 0; cuts < 2 ** (sorted.length - 1); cuts++) {
      const parts: number[][] = [[]];
      sorted.forEach((length, i) => {
        parts.at(-1)!.push(length);
        if ((cuts >> i) & 1) parts.push([]);
      });
      const padded = parts.map((part) => part.length * part.at(-1)!);
      if (parts.some((part, i) => part.length > 1 && padded[i] > LIMITS.tokensPerBatch)) continue;
      least = Math.min(
        least,
        padded.reduce((sum, tokens) => sum + tokens + OVERHEAD_TOKENS, 0),
      );
    }
    const found = packBatches(samples, 0, samples.length, LIMITS);
    const fewer = packBatches(samples, 0, samples.length, { ...LIMITS, batchOverheadTokens: 10_000 });
    assert.ok(fewer.length <= found.length);
    assert.deepEqual(
      packBatches(samples, 0, samples.length, { ...LIMITS, tokensPerBatch: 10_000, batchOverheadTokens: 10_000 })
        .length,
      1,
    );
    assert.equal(
      found.reduce((sum, { members, tokens }) => sum + members.length * tokens + OVERHEAD_TOKENS, 0),
      least,
      `lengths ${lengths}`,
    );
  }
});

test('the same samples and limits give the same bytes; another limit does not', () => {
  const lengths = randomLengths(50, 3);
  const bytes = (limits: PlanLimits) => encodePlan(makePlan(samplesOf(lengths), limits));
  assert.deepEqual(bytes(LIMITS), bytes(LIMITS));
  assert.notDeepEqual(bytes({ ...LIMITS, tokensPerBatch: 32 }), bytes(LIMITS));
});

test('shards: as many as tokens ask for, at least the least, never more than groups', () => {
  const count = (lengths: number[], limits: Partial<PlanLimits>) =>
    makePlan(samplesOf(lengths), { ...LIMITS, ...limits }).shards.length;
  const lengths = Array.from({ length: 40 }, () => 25);
  assert.equal(count(lengths, { tokensPerShard: 200 }), 5);
  assert.equal(count(lengths, { tokensPerShard: 1000 }), 3);
  assert.equal(count(lengths, { tokensPerShard: 1 }), 10);
  assert.equal(count(lengths.slice(0, 5), {}), 2);
});

test('held out: a share of the shards, at least one of several, none of one and none where none is asked for', () => {
  const held = (shards: number, heldOut: number) => {
    const plan = makePlan(samplesOf(Array.from({ length: 4 * shards }, () => 5)), {
      ...LIMITS,
      leastShards: shards,
      heldOut,
    });
    assert.equal(plan.shards.length, shards);
    return shards - plan.fitShards;
  };
  assert.equal(held(16, 0.25), 4);
  assert.equal(held(2, 0.25), 1);
  assert.equal(held(3, 0.01), 1);
  assert.equal(held(1, 0.25), 0);
  assert.equal(held(16, 0), 0);
});

test('tokens with and without padding', () => {
  const plan = makePlan(samplesOf([3, 5]), { ...LIMITS, groupSize: 2 });
  assert.equal(planTokens(plan), 8);
  // Two samples of 5 cost less than two micro-batches.
  assert.equal(paddedTokens(plan), 10);
});

test('without padding: as few micro-batches as tokens allow, and no more than twice as many padded ones', () => {
  const lengths = [1, 2, 3, 4, 5, 6, 7, 8];
  const limits = { ...LIMITS, groupSize: 1, leastShards: 1, tokensPerShard: 1e6, batchOverheadTokens: 1 };
  const tokensOf = (isUnpadded: boolean, tokensPerBatch: number) => {
    const samples = samplesOf(lengths);
    const { shards } = makePlan(samples, { ...limits, tokensPerBatch, isUnpadded });
    return shards[0].batches.map(({ members }) => members.reduce((sum, i) => sum + samples[i].tokenIds.length, 0));
  };
  assert.deepEqual(tokensOf(true, 36), [36]);
  assert.ok(tokensOf(false, 36).length > 1);
  assert.ok(tokensOf(true, 20).every((tokens) => tokens <= 20));
  // One long sample among short ones: 10 of them padded to its length are 1000 tokens.
  const odd = samplesOf([...new Array(9).fill(1), 100]);
  const { shards } = makePlan(odd, { ...limits, tokensPerBatch: 200, isUnpadded: true });
  assert.ok(shards[0].batches.every(({ members, tokens }) => members.length * tokens <= 400));
});
