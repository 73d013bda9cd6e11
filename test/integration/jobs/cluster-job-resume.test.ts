// A claimed job that was cut off in the middle, or planned again: whoever goes on takes what is stored and gives the same
// bits.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EspalierError } from '../../../shared/errors.ts';
import { BUDGETS, content, openClaimedJobs, reused } from '../../support/claimed-jobs.ts';

const { assertSame, bus, prunedHere, start } = await openClaimedJobs();
const local = await prunedHere('local');

describe('cut off in the middle', () => {
  for (const [where, stage, solves, expected] of [
    ['after fisher', /\/fisher$/, 6, ['evaluate', 'fisher']],
    ['in tuning', /budget-0\.4\/tune$/, 5, ['evaluate', 'fisher', 'search', 'evaluate', 'rearrange', 'evaluate']],
    [
      'when the result of the first budget was measured',
      /budget-0\.4\/quality-result$/,
      0,
      [
        ...['evaluate', 'fisher'],
        ...BUDGETS.flatMap(() => ['search', 'evaluate', 'rearrange', 'evaluate', 'tune']),
        'evaluate',
      ],
    ],
  ] as const)
    test(`${where}: the next coordinator takes what is stored and gives the same bits`, async () => {
      const controller = new AbortController();
      const lost = new EspalierError('lease_lost', 'the lease has lapsed');
      const first = start(
        {},
        { signal: controller.signal, onCommit: (name) => stage.test(name) && controller.abort(lost) },
      );
      await assert.rejects(first.results, (error) => error instanceof EspalierError && error.code === 'lease_lost');
      const second = start({}, { record: first.record, workers: 2 });
      await assertSame(await second.results, 'local', local);
      assert.deepEqual(reused(second.events), expected);
      assert.ok(!second.tasks.includes('fisher/0'));
      assert.equal(second.tasks.filter((task) => task.startsWith('solve/')).length, solves);
    });

  test('with a stage whose blob is gone: it alone is computed again, and told of', async () => {
    const first = start({});
    await first.results;
    const name = [...first.record.keys()].find((key) => key.endsWith('/fisher'))!;
    const entry = first.record.get(name)!;
    assert.ok(entry.kind === 'tensors');
    await bus.objects.delete(entry.digest);
    const second = start({}, { record: first.record });
    await assertSame(await second.results, 'local', local);
    assert.deepEqual(
      second.events.flatMap((event) => (event.kind === 'notice' ? [event.text] : [])),
      [`stored ${name} is damaged and is computed again`],
    );
    assert.ok(second.tasks.includes('fisher/0') && !second.tasks.includes('solve/1.ffn'));
  });
});

test('out of memory: planned again with half the tokens, and whoever goes on keeps to it', async () => {
  let failures = 0;
  const refuse = (task: string) =>
    task.startsWith('solve/') && failures++ === 0 ? new EspalierError('out_of_memory', `${task}: on purpose`) : null;
  const first = start({ method: 'paper', budgets: [BUDGETS[0]], evaluation: null }, { refuse });
  const results = await first.results;
  assert.deepEqual(
    first.events.flatMap((event) => (event.kind === 'notice' ? [event.text] : [])),
    ['out of memory with 2048 tokens a batch: planning again with 1024'],
  );
  assert.equal((first.record.get('plan') as { value: { tokensPerBatch: number } }).value.tokensPerBatch, 1024);
  const second = start({ method: 'paper', budgets: [BUDGETS[0]], evaluation: null }, { record: first.record });
  const again = await second.results;
  assert.deepEqual(content(again[0].report), content(results[0].report));
  assert.deepEqual(reused(second.events), ['fisher', 'search', 'rearrange', 'tune']);
  assert.ok(second.tasks.every((task) => task.startsWith('latency/')));
});
