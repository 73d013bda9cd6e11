// What coordinators say of their load to each other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoadExchange, type OwnLoad } from '../../../coordinator/workers/load-exchange.ts';
import { readLoadReport } from '../../../coordinator/workers/load-report-reader.ts';
import { OtherLoads } from '../../../coordinator/workers/other-loads.ts';
import { LOAD_REPORT_MS, LOAD_REPORT_SCHEMA, LOAD_SILENT_MS } from '../../../shared/bus/load-report.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const report = (coordinatorId: string, homes: [string, number][], jobs: [string, number][] = [['cpu', 1]]) => ({
  ...{ schema: LOAD_REPORT_SCHEMA, coordinatorId, jobs, homes },
});

test('loads of others are summed; one that fell silent has none', () => {
  const clock = new ManualClock();
  const others = new OtherLoads('m', clock);
  assert.equal(others.take(report('a', [['w1', 2]])), true);
  assert.equal(others.take(report('a', [['w1', 2]])), false, 'nothing new');
  assert.equal(
    others.take(
      report('z', [
        ['w1', 1],
        ['w2', 1],
      ]),
    ),
    true,
  );
  assert.equal(others.take(report('m', [['w9', 1]])), false, 'its own');
  assert.deepEqual([others.homesAt('w1'), others.homesAt('w2'), others.homesAt('w9')], [3, 1, 0]);
  assert.deepEqual([others.jobsOf('cpu'), others.jobsOf('gpu')], [2, 0]);
  assert.deepEqual([others.mustYield('w1'), others.mustYield('w2')], [true, false]);
  assert.equal(others.forgetSilent(), false);
  clock.advance(LOAD_SILENT_MS - 1);
  others.take(report('z', [['w2', 1]]));
  clock.advance(2);
  assert.equal(others.forgetSilent(), true);
  assert.deepEqual([others.homesAt('w1'), others.homesAt('w2')], [0, 1]);
  assert.equal(others.take(report('z', [])), true, 'it has left');
  assert.equal(others.homesAt('w2'), 0);
});

test('a report is used only when all of it is right', () => {
  const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  const good = report('a', [['w:1', 2]]);
  assert.deepEqual(readLoadReport('espalier.coordinator.a', bytes(good)), good);
  for (const [subject, value] of [
    ['espalier.coordinator.b', good],
    ['espalier.coordinator.a', 'no JSON'],
    ['espalier.coordinator.a', null],
    ['espalier.coordinator.a', { ...good, schema: 2 }],
    ['espalier.coordinator.a', { ...good, homes: [['w', -1]] }],
    ['espalier.coordinator.a', { ...good, homes: [['', 1]] }],
    ['espalier.coordinator.a', { ...good, homes: [['w', 1, 2]] }],
    ['espalier.coordinator.a', { ...good, jobs: 'many' }],
    ['espalier.coordinator.a', { ...good, homes: Array(4097).fill(['w', 1]) }],
    ['espalier.coordinator.a', { ...good, pad: 'x'.repeat(600_000) }],
  ] as const)
    assert.equal(readLoadReport(subject, bytes(value)), null);
});

test('two sides hear of each other, of a change soon, of an end at once', () => {
  const clock = new ManualClock();
  const listeners = new Set<(subject: string, payload: Uint8Array) => void>();
  const bus = {
    subscribe(_subject: string, onMessage: (subject: string, payload: Uint8Array) => void) {
      listeners.add(onMessage);
      return () => listeners.delete(onMessage);
    },
    publish(subject: string, payload: Uint8Array) {
      for (const listener of listeners) listener(subject, payload);
    },
  };
  let told = 0;
  let load: OwnLoad = { jobs: [], homes: [] };
  const a = new LoadExchange(bus, clock);
  const b = new LoadExchange(bus, clock);
  a.begin({
    get load() {
      return load;
    },
    othersChanged: () => {},
  });
  b.begin({ load: { jobs: [], homes: [] }, othersChanged: () => (told += 1) });
  load = { jobs: [['cpu', 1]], homes: [['w1', 1]] };
  a.changed();
  clock.advance(LOAD_REPORT_MS / 2);
  assert.deepEqual([told, b.others.homesAt('w1'), a.others.homesAt('w1')], [1, 1, 0]);
  clock.advance(3 * LOAD_REPORT_MS);
  assert.equal(told, 1, 'what is the same is not told on');
  a.close();
  assert.deepEqual([told, b.others.homesAt('w1')], [2, 0]);
  b.close();
  assert.equal(listeners.size, 0);
});
