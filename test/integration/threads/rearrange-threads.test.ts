// Rearrangement of a large model on threads, a layer each: what the method gives, errors and aborts as without threads, and
// no thread that outlives the job.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { compileRearrange } from '../../../coordinator/threads/compile-rearrange.ts';
import { openRearrange } from '../../../coordinator/threads/rearrange-threads.ts';
import { denseMasks } from '../../../pruning/masks.ts';
import { randomStream } from '../../../pruning/random.ts';
import { rearrangeMasks } from '../../../pruning/rearrange.ts';
import { EspalierError } from '../../../shared/errors.ts';
import { writeFisherFile } from '../../support/fisher-files.ts';
import { gramOfRows } from '../../support/plain-grams.ts';
import { until } from '../../support/until.ts';

const SIZES = { layers: 4, heads: 3, neurons: 2600 };
const ROWS = 6;
const CORES = 3;

let folder = '';
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'espalier-rearrange-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const random = randomStream(2, 'rearrange-threads');
const { layers, heads, neurons } = SIZES;
const values = new Float32Array(ROWS * layers * (heads + neurons)).map(() => random.uniform() - 0.5);
const fisher = { form: 'rows' as const, rows: ROWS, values };
const masks = denseMasks(layers, heads, neurons);
masks.headMask.set([0, 1, 0, 1, 0, 0]);
// Each layer loses another number.
for (let layer = 0; layer < layers; layer++) masks.neuronMask.fill(0, layer * neurons, layer * neurons + 30 * layer);

/** Of this process, all. */
const threadCount = () => readdirSync('/proc/self/task').length;

describe('rearrangement on threads', () => {
  it('gives the masks of the method, in both forms, and ends its threads', async () => {
    const expected = rearrangeMasks(fisher, masks);
    assert.notDeepEqual(expected.neuronMask, masks.neuronMask);
    const rows = await writeFisherFile(path.join(folder, 'rows'), fisher);
    const before = threadCount();
    const opened = openRearrange(SIZES, new AbortController().signal, CORES);
    assert.deepEqual(await opened.rearrange(rows, masks), expected);
    assert.ok(threadCount() >= before + CORES);
    // 27 MB a layer, in threads as large: still one after the other.
    const grams = await writeFisherFile(path.join(folder, 'grams'), gramOfRows(fisher, SIZES));
    assert.deepEqual(await opened.rearrange(grams, masks), expected);
    const open = denseMasks(layers, heads, neurons);
    open.neuronMask.fill(0, neurons, neurons + 900);
    const among = rearrangeMasks(fisher, masks, open);
    assert.notDeepEqual(among.neuronMask, expected.neuronMask);
    assert.deepEqual(await opened.rearrange(rows, masks, open), among);
    await opened.close();
    await until('its threads have ended', () => threadCount() <= before);
  });

  it('fails as without threads, and goes on', async () => {
    const rows = await writeFisherFile(path.join(folder, 'other-rows'), fisher);
    const opened = openRearrange(SIZES, new AbortController().signal, CORES);
    const wrong = denseMasks(layers, heads, neurons + 1);
    await assert.rejects(opened.rearrange(rows, wrong), (error) => {
      assert.ok(error instanceof EspalierError);
      const expected = `${rows}: rows: got F32 [6,10412], expected F32 [rows,10416]`;
      assert.deepEqual([error.code, error.message], ['shape_mismatch', expected]);
      return true;
    });
    assert.deepEqual(await opened.rearrange(rows, masks), rearrangeMasks(fisher, masks));
    await opened.close();
  });

  it('stops with the job', async () => {
    const rows = await writeFisherFile(path.join(folder, 'rows-of-none'), fisher);
    const before = threadCount();
    const abort = new AbortController();
    const reason = new EspalierError('cancelled', 'the user asked for it');
    const opened = openRearrange(SIZES, abort.signal, CORES);
    const running = opened.rearrange(rows, masks);
    abort.abort(reason);
    await assert.rejects(running, reason);
    await opened.close();
    await until('its threads have ended', () => threadCount() <= before);
  });

  it('warns of nothing with as many threads as there may be', async () => {
    const warnings: Error[] = [];
    const keep = (warning: Error) => warnings.push(warning);
    process.on('warning', keep);
    const abort = new AbortController();
    const opened = openRearrange({ layers: 24, heads: 1, neurons: 1500 }, abort.signal, 64);
    await setImmediate();
    abort.abort();
    await opened.close();
    process.off('warning', keep);
    assert.deepEqual(warnings, []);
  });

  it('starts no thread for a small model or on one core', async () => {
    for (const [sizes, cores] of [
      [{ layers: 2, heads: 2, neurons: 500 }, CORES],
      [SIZES, 1],
    ] as const) {
      const before = threadCount();
      const opened = openRearrange(sizes, new AbortController().signal, cores);
      assert.equal(threadCount(), before);
      await opened.close();
    }
  });

  it('can run what it compiles', () => compileRearrange());
});
