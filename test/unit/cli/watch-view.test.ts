// What a watch draws: lines where nothing can be drawn over, a block of bars on a terminal.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Job } from '../../../cli/client/cluster-client.ts';
import { WatchView } from '../../../cli/views/watch-view.ts';
import { readEvent, type WatchedEvent } from '../../../cli/views/watched-event.ts';

const job = (id: string, name: string, state: string): Job => ({
  ...{ id, name, state, campaignId: 'c', campaignName: 'c', priority: 0, createdAt: '', startedAt: '', finishedAt: '' },
  ...{ attempt: 1, owner: '', cancelRequested: false, error: null, results: [], storedStages: [] },
});
const TWO = [job('1', 'sst2', 'running'), job('2', 'squad', 'running')];
const time = (seconds: number) => new Date(1_700_000_000_000 + seconds * 1000).toISOString();
const progress = (done: number, steps = 12): WatchedEvent => ({
  kind: 'stage-progress',
  stage: 'tune',
  budget: '0.5',
  done,
  steps,
});

function view(sink: { isTTY?: boolean; columns?: number; rows?: number } = {}, terminal = 'xterm') {
  const clock = { ms: 0 };
  let text = '';
  const made = new WatchView({ sink: { ...sink, write: (part) => (text += part) }, terminal, now: () => clock.ms });
  const taken = () => {
    const all = text;
    text = '';
    return all;
  };
  return { view: made, clock, taken };
}

describe('a watch that is no terminal', () => {
  it('is a line an event, with the name where there are several jobs', () => {
    const { view: watch, taken } = view();
    watch.onJobs(TWO);
    watch.onEvent('1', time(0), { kind: 'stage-started', stage: 'tune', budget: '0.5', steps: 12 });
    watch.onEvent('1', time(3), progress(1));
    watch.onEvent('1', time(9), { kind: 'stage-finished', stage: 'tune', budget: '0.5', seconds: 9, reused: false });
    watch.onEvent('2', time(9), {
      kind: 'state',
      state: 'failed',
      error: { code: 'engine', message: 'x', action: 'y' },
    });
    assert.equal(taken(), 'sst2: tune 0.5 finished in 9.0 s\nsquad: failed: [engine] x\n');
    watch.onJobs([TWO[0]!]);
    watch.onEvent('1', time(9), { kind: 'notice', text: 'a\u001b[2J\nb' });
    assert.equal(taken(), 'note: a?[2J b\n');
    watch.close();
    assert.equal(taken(), '');
  });

  it('says every ten seconds how far a long stage is, by the time of its events', () => {
    const { view: watch, clock, taken } = view({ isTTY: true }, 'dumb');
    watch.onJobs([TWO[0]!]);
    watch.onEvent('1', time(0), { kind: 'stage-started', stage: 'tune', budget: '0.5', steps: 12 });
    clock.ms = 9_000;
    watch.onEvent('1', time(30), progress(3));
    clock.ms = 10_000;
    watch.onEvent('1', time(40), progress(4));
    clock.ms = 11_000;
    watch.onEvent('1', time(50), progress(5));
    assert.equal(taken(), 'tune 0.5 4 of 12, 80.0 s left\n');
    // One before it is stored by now.
    watch.onEvent('1', time(55), {
      kind: 'stage-finished',
      stage: 'rearrange',
      budget: '0.5',
      seconds: 2,
      reused: false,
    });
    clock.ms = 21_000;
    watch.onEvent('1', time(60), progress(6));
    assert.equal(taken(), 'rearrange 0.5 finished in 2.0 s\ntune 0.5 6 of 12, 60.0 s left\n');
  });
});

describe('a watch on a terminal', () => {
  it('draws a bar a running job over the last, below the lines that stay', () => {
    const { view: watch, clock, taken } = view({ isTTY: true, columns: 100, rows: 24 });
    watch.onJobs(TWO);
    assert.equal(taken(), '\x1b[?25l2 running\n');
    clock.ms = 1_000;
    watch.onEvent('1', time(0), { kind: 'stage-started', stage: 'tune', budget: '0.5', steps: 12 });
    taken();
    clock.ms = 2_000;
    watch.onEvent('1', time(10), progress(6));
    assert.equal(
      taken(),
      '\x1b[2F\x1b[Jsst2   tune 0.5        [############------------]  50 %, 10.0 s left\n2 running\n',
    );
    clock.ms = 2_050;
    watch.onEvent('1', time(10), progress(7));
    assert.equal(taken(), '', 'not more often than it can be seen');
    watch.onEvent('2', time(11), { kind: 'notice', text: 'hello' });
    assert.equal(
      taken(),
      '\x1b[2F\x1b[Jsquad: note: hello\nsst2   tune 0.5        [##############----------]  58 %, 7.1 s left\n2 running\n',
    );
    clock.ms = 3_000;
    watch.onJobs([job('1', 'sst2', 'done'), TWO[1]!]);
    assert.equal(taken(), '\x1b[2F\x1b[J1 running, 1 done\n');
    watch.close();
    assert.equal(taken(), '\x1b[1F\x1b[J\x1b[?25h');
    watch.close();
    assert.equal(taken(), '');
  });

  it('draws no taller and no wider than the screen', () => {
    const { view: watch, clock, taken } = view({ isTTY: true, columns: 20, rows: 6 });
    const many = Array.from({ length: 10 }, (_, i) => job(String(i), `job-${i}`, 'running'));
    watch.onJobs(many);
    for (const { id } of many) {
      clock.ms += 1_000;
      watch.onEvent(id, time(0), progress(1));
    }
    const lines = taken().split('\x1b[J').at(-1)!.trimEnd().split('\n');
    assert.equal(lines.length, 5);
    assert.ok(
      lines.every((line) => line.length <= 19),
      lines.join('|'),
    );
    assert.deepEqual(lines.slice(3), ['and 7 more', '10 running']);
  });
});

describe('readEvent', () => {
  it('takes what has the known form, and nothing else', () => {
    assert.deepEqual(readEvent('{"kind":"notice","text":"a"}'), { kind: 'notice', text: 'a' });
    for (const text of ['', '{', 'null', '[]', '3', '{"kind":"new"}', '{"kind":"notice"}', '{"kind":"toString"}'])
      assert.equal(readEvent(text), null, text);
    assert.equal(readEvent('{"kind":"state","state":"failed","error":null}'), null);
    assert.equal(readEvent('{"kind":"state","state":"running","owner":3}'), null);
    assert.equal(readEvent('{"kind":"stage-progress","stage":"tune","done":"1","steps":2}'), null);
  });
});
