import assert from 'node:assert/strict';
import { it } from 'node:test';
import { BusyMeter } from '../../../../shared/telemetry/busy-meter.ts';

it('the busy share is that of the last minute, or of the time since the start', () => {
  let now = 1000;
  const meter = new BusyMeter(() => now);
  assert.equal(meter.ratio(), 0);
  const end = meter.begin();
  now += 10_000;
  assert.equal(meter.ratio(), 1);
  end();
  end();
  now += 10_000;
  assert.equal(meter.ratio(), 0.5);
  now += 40_000;
  assert.equal(meter.ratio(), 10 / 60);
  // Half of the stretch has left the window, then all of it.
  now += 5_000;
  assert.equal(meter.ratio(), 5 / 60);
  now += 5_000;
  assert.equal(meter.ratio(), 0);
});

it('works that overlap count once, and one that still runs counts', () => {
  let now = 0;
  const meter = new BusyMeter(() => now);
  const first = meter.begin();
  now = 30_000;
  const second = meter.begin();
  now = 45_000;
  first();
  now = 60_000;
  assert.equal(meter.ratio(), 1);
  now = 100_000;
  assert.equal(meter.ratio(), 1);
  second();
  now = 130_000;
  assert.equal(meter.ratio(), 0.5);
});

it('a minute of small works that follow each other adds up', () => {
  let now = 0;
  const meter = new BusyMeter(() => now);
  for (let i = 0; i < 120_000; i += 1) {
    const end = meter.begin();
    now += 0.5;
    end();
    now += 0.25;
  }
  // Pauses of less than a millisecond between tasks are part of the work.
  assert.ok(meter.ratio() > 0.99);
});
