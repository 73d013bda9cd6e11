// What a coordinator takes in memory while Fisher information, rearrangement and the sums of tuning go through it, measured
// as the peak of its process: small jobs always, those of BERT-base's sizes with ESPALIER_SLOW_TESTS=1 (npm run
// test:memory), which take minutes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureMemory } from './measure.ts';
import type { MemoryCase } from './memory-messages.ts';

const SMALL: MemoryCase = {
  ...{ hiddenSize: 512, layers: 12, rows: 2100, shards: 6 },
  ...{ workers: 4, jobs: 1, method: 'rearrange' },
};
const BERT_BASE: MemoryCase = { ...SMALL, hiddenSize: 768, rows: 3000, shards: 20, workers: 8 };

interface Bound {
  readonly name: string;
  readonly sizes: MemoryCase;
  readonly mostBytes: number;
  readonly slow?: true;
}

const BOUNDS: readonly Bound[] = [
  // A node's Grams are 201 MB; held in memory the same job took 751 MB.
  { name: 'Grams of a smaller model', sizes: SMALL, mostBytes: 450e6 },
  { name: 'as many rows as a layer has neurons, nearly', sizes: BERT_BASE, mostBytes: 1e9, slow: true },
  { name: 'Grams of 20 shards', sizes: { ...BERT_BASE, rows: 3100 }, mostBytes: 1e9, slow: true },
  { name: 'Grams of 200 shards', sizes: { ...BERT_BASE, rows: 3200, shards: 200 }, mostBytes: 1e9, slow: true },
  {
    name: 'rows of 4 jobs on 64 workers, and their tuning',
    sizes: { ...BERT_BASE, shards: 200, workers: 64, jobs: 4, method: 'paper' },
    mostBytes: 1e9,
    slow: true,
  },
];

for (const { name, sizes, mostBytes, slow } of BOUNDS)
  test(`a coordinator's memory: ${name}`, async (t) => {
    if (slow && process.env.ESPALIER_SLOW_TESTS !== '1') return t.skip('slow: set ESPALIER_SLOW_TESTS=1 to run it');
    const { peakRssBytes, seconds, kept } = await measureMemory(sizes);
    t.diagnostic(`${(peakRssBytes / 1e6).toFixed(0)} MB at the most, ${seconds.toFixed(0)} s`);
    assert.equal(kept.length, sizes.jobs);
    assert.ok(kept.every((count) => count > 0 && count === kept[0]));
    assert.ok(peakRssBytes < mostBytes, `${peakRssBytes} bytes, expected fewer than ${mostBytes}`);
  });
