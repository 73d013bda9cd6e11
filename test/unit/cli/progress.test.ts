import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Progress } from '../../../cli/progress.ts';
import type { JobEvent } from '../../../coordinator/job-events.ts';

class FakeSink {
  written = '';
  readonly isTTY: boolean;
  readonly columns: number;

  constructor(isTTY: boolean, columns = 80) {
    this.isTTY = isTTY;
    this.columns = columns;
  }

  write(text: string): void {
    this.written += text;
  }

  take(): string {
    const { written } = this;
    this.written = '';
    return written;
  }
}

function setUp(sink: FakeSink, quiet = false) {
  const clock = { ms: 0 };
  const progress = new Progress({ sink, quiet, now: () => clock.ms });
  const tell = (ms: number, event: JobEvent) => {
    clock.ms = ms;
    progress.onEvent(event);
  };
  return { progress, tell };
}

const started: JobEvent = { kind: 'stage-started', stage: 'fisher', steps: 8 };
const step = (done: number): JobEvent => ({ kind: 'stage-progress', stage: 'fisher', done, steps: 8 });
const finished: JobEvent = { kind: 'stage-finished', stage: 'fisher', seconds: 3.21, reused: false };

describe('progress on a terminal', () => {
  it('draws one line over and over, then leaves a plain one and the cursor', () => {
    const sink = new FakeSink(true);
    const { progress, tell } = setUp(sink);
    tell(0, started);
    assert.equal(sink.take(), '\x1b[?25l\r\x1b[2Kfisher        [------------------------]   0 %');
    tell(50, step(1));
    assert.equal(sink.take(), '', 'no more than ten drawings a second');
    tell(2000, step(4));
    assert.equal(sink.take(), '\r\x1b[2Kfisher        [############------------]  50 %, 2.0 s left');
    tell(2100, { kind: 'notice', text: '3 texts truncated' });
    assert.equal(
      sink.take(),
      '\r\x1b[2Knote: 3 texts truncated\n\r\x1b[2Kfisher        [############------------]  50 %, 2.1 s left',
    );
    tell(3210, finished);
    assert.equal(sink.take(), '\r\x1b[2Kfisher        3.2 s\n');
    progress.close();
    assert.equal(sink.take(), '\r\x1b[2K\x1b[?25h');
    progress.close();
    assert.equal(sink.take(), '');
  });

  it('goes on with the stage that runs when one before it is told to have ended', () => {
    const sink = new FakeSink(true);
    const { tell } = setUp(sink);
    tell(0, { ...started, stage: 'search' });
    tell(0, started);
    tell(2000, step(4));
    sink.take();
    tell(2100, { ...finished, stage: 'search' });
    const bar = '\r\x1b[2Kfisher        [############------------]  50 %, 2.1 s left';
    assert.equal(sink.take(), `\r\x1b[2Ksearch        3.2 s\n${bar}`);
    tell(3210, finished);
    assert.equal(sink.take(), '\r\x1b[2Kfisher        3.2 s\n');
  });

  it('never fills the last column', () => {
    for (const columns of [5, 20, 40, 60, 120]) {
      const sink = new FakeSink(true, columns);
      const { tell } = setUp(sink);
      tell(0, { ...started, budget: '0.5' });
      tell(4000, { ...step(3), budget: '0.5' } as JobEvent);
      const line = sink.take().split('\x1b[2K').at(-1) as string;
      assert.ok(line.length < columns, `${columns} columns: ${line}`);
    }
  });
});

describe('progress elsewhere', () => {
  it('writes finished stages, and a long stage at most every ten seconds', () => {
    const sink = new FakeSink(false);
    const { progress, tell } = setUp(sink);
    tell(0, started);
    tell(9_000, step(1));
    assert.equal(sink.take(), '');
    tell(10_000, step(2));
    tell(11_000, step(3));
    assert.equal(sink.take(), 'fisher        2 of 8, 30.0 s left\n');
    tell(20_000, step(4));
    assert.equal(sink.take(), 'fisher        4 of 8, 20.0 s left\n');
    tell(40_000, { ...finished, reused: true });
    tell(40_000, {
      kind: 'stage-finished',
      stage: 'search',
      budget: '0.5',
      seconds: 72,
      reused: false,
      note: '2 kept',
    });
    tell(40_000, { kind: 'worker-joined', worker: 'a:1', device: 'H100' });
    tell(40_000, { kind: 'worker-lost', worker: 'a:1', reason: 'killed' });
    progress.close();
    const lines = [
      'fisher        reused',
      'search 0.5    72.0 s  2 kept',
      'worker a:1 joined: H100',
      'worker a:1 lost: killed',
    ];
    assert.equal(sink.take(), `${lines.join('\n')}\n`);
  });

  it('is the same on a terminal that cannot draw over a line', () => {
    const sink = new FakeSink(true);
    const progress = new Progress({ sink, quiet: false, terminal: 'dumb', now: () => 0 });
    for (const event of [started, step(3), finished]) progress.onEvent(event);
    progress.close();
    assert.equal(sink.take(), 'fisher        3.2 s\n');
  });

  it('writes nothing when quiet', () => {
    const sink = new FakeSink(true);
    const { progress, tell } = setUp(sink, true);
    for (const event of [started, step(3), finished]) tell(20_000, event);
    progress.close();
    assert.equal(sink.take(), '');
  });
});
