// What the signals that end a process do, the first and those after it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { END_SIGNALS, onSignals } from '../../../shared/lifecycle.ts';

function listening(t: test.TestContext): string[] {
  const done: string[] = [];
  const stop = onSignals(END_SIGNALS, {
    drain: (name) => done.push(`drain by ${name}`),
    force: (name) => done.push(`force by ${name}`),
  });
  t.after(stop);
  return done;
}

for (const [first, ...others] of [
  ['SIGINT', 'SIGTERM', 'SIGHUP'],
  ['SIGTERM', 'SIGINT', 'SIGHUP'],
  ['SIGHUP', 'SIGINT', 'SIGTERM'],
] as const)
  test(`${first} drains; another signal forces, but a terminal that closes does not`, (t) => {
    const done = listening(t);
    process.emit(first, first);
    assert.deepEqual(done, [`drain by ${first}`]);
    process.emit('SIGHUP', 'SIGHUP');
    assert.deepEqual(done, [`drain by ${first}`]);
    for (const name of others) process.emit(name, name);
    const forcing = others.filter((name) => name !== 'SIGHUP').map((name) => `force by ${name}`);
    assert.deepEqual(done, [`drain by ${first}`, ...forcing]);
  });
