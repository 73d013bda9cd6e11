// Events of a job on their way to the log: in order, bounded, progress thinned out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobEvent } from '../../../coordinator/job-events.ts';
import { EventWriter } from '../../../coordinator/jobs/event-writer.ts';
import type { LifeEvent } from '../../../coordinator/jobs/held-job.ts';
import type { EventLog } from '../../../shared/bus/bus.ts';
import { gate } from '../../support/until.ts';

interface Stored {
  readonly time: string;
  readonly attempt: number;
  readonly event: JobEvent | LifeEvent;
}

/** A log that keeps what it gets, and takes nothing before `opened`. */
function memoryLog(opened: Promise<void> = Promise.resolve()) {
  const stored: Stored[] = [];
  const log = {
    append: async (_job: string, bytes: Uint8Array) => {
      await opened;
      return stored.push(JSON.parse(new TextDecoder().decode(bytes)));
    },
  } as unknown as EventLog;
  return { stored, log };
}

const progress = (done: number, steps = 1_000): JobEvent => ({ kind: 'stage-progress', stage: 'tune', done, steps });

test('events have their time and attempt and come in order', async () => {
  const { stored, log } = memoryLog();
  const writer = new EventWriter(log, 'j');
  writer.write(3, { kind: 'state', state: 'running', owner: 'a' });
  writer.write(3, { kind: 'notice', text: 'hello' });
  await writer.flush(1_000);
  assert.deepEqual(
    stored.map(({ event }) => event.kind),
    ['state', 'notice'],
  );
  assert.equal(stored[0].attempt, 3);
  assert.ok(Math.abs(Date.parse(stored[0].time) - Date.now()) < 10_000);
});

test('of progress at most five a second are kept, and the last of a stage always', async () => {
  let nowMs = 0;
  const { stored, log } = memoryLog();
  const writer = new EventWriter(log, 'j', () => nowMs);
  for (let done = 1; done <= 1_000; done += 1) {
    writer.write(1, progress(done));
    nowMs += 2;
  }
  await writer.flush(1_000);
  const kept = stored.map(({ event }) => (event.kind === 'stage-progress' ? event.done : Number.NaN));
  assert.deepEqual(kept, [1, 101, 201, 301, 401, 501, 601, 701, 801, 901, 1_000]);
});

test('while the log takes nothing the job goes on, and progress is dropped before anything else', async () => {
  let nowMs = 0;
  const { opened, open } = gate();
  const { stored, log } = memoryLog(opened);
  const writer = new EventWriter(log, 'j', () => (nowMs += 1_000));
  for (let i = 0; i < 200; i += 1) writer.write(1, progress(i));
  for (let i = 0; i < 200; i += 1) writer.write(1, { kind: 'notice', text: String(i) });
  await writer.flush(1);
  assert.equal(stored.length, 0);
  open();
  await writer.flush(5_000);
  assert.ok(stored.length <= 258, `${stored.length} were kept`);
  const notices = stored.map(({ event }) => event).filter(({ kind }) => kind === 'notice');
  assert.deepEqual(
    notices,
    Array.from({ length: 200 }, (_, i) => ({ kind: 'notice', text: String(i) })),
  );
});

test('an event that the log refuses is skipped', async () => {
  const { stored, log } = memoryLog();
  let calls = 0;
  const failing = {
    append: (job: string, bytes: Uint8Array) =>
      calls++ === 0 ? Promise.reject(new Error('full')) : log.append(job, bytes),
  };
  const writer = new EventWriter(failing as unknown as EventLog, 'j');
  writer.write(1, { kind: 'log', text: 'first' });
  writer.write(1, { kind: 'log', text: 'second' });
  await writer.flush(1_000);
  assert.deepEqual(
    stored.map(({ event }) => event),
    [{ kind: 'log', text: 'second' }],
  );
});
