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
    ['espalier.coordinator.a', { ...good, pendingTasks: -1 }],
    ['espalier.coordinator.a', { ...good, pendingTasks: 1e12 }],
    ['espalier.coordinator.a', { ...good, homes: Array(4097).fill(['w', 1]) }],
    ['espalier.coordinator.a', { ...good, pad: 'x'.repeat(600_000) }],
  ] as const)
    assert.equal(readLoadReport(subject, bytes(value)), null);
});

const IDLE: OwnLoad = { jobs: [], homes: [], pendingTasks: 0 };

/** Hands every message to all who listen, the sender included. */
function localBus() {
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
  return { bus, listeners };
}

test('every coordinator knows how many tasks wait in all, without a home as well; who fell silent has none', () => {
  const clock = new ManualClock();
  const { bus } = localBus();
  let moves = 0;
  const coordinators = [3, 0, 40].map((pendingTasks) => {
    const own = { load: { ...IDLE, pendingTasks }, othersChanged: () => (moves += 1) };
    const exchange = new LoadExchange(bus, clock);
    exchange.begin(own);
    return { exchange, own };
  });
  const told = () => coordinators.map(({ exchange }) => exchange.pendingTasks);
  clock.advance(LOAD_REPORT_MS);
  assert.deepEqual(told(), [43, 43, 43]);
  const [first, second, third] = coordinators;
  first!.own.load = IDLE;
  second!.own.load = { ...IDLE, pendingTasks: 7 };
  clock.advance(LOAD_REPORT_MS);
  assert.deepEqual(told(), [47, 47, 47]);

  // One that is killed says nothing; one that ends says so.
  third!.exchange.close();
  assert.deepEqual([first!.exchange.pendingTasks, second!.exchange.pendingTasks], [7, 7]);
  const silent = new OtherLoads('a', clock);
  silent.take({ ...report('b', [], []), pendingTasks: 9 });
  silent.take(report('older', [['w1', 1]]));
  clock.advance(LOAD_SILENT_MS);
  assert.equal(silent.pendingTasks, 9);
  clock.advance(1);
  assert.equal(silent.pendingTasks, 0);
  assert.equal(moves, 0, 'homes do not move for it');
  first!.exchange.close();
  second!.exchange.close();
});

test('jobs without a home take nothing from others, whatever waits', () => {
  const others = new OtherLoads('m', new ManualClock());
  assert.equal(others.take({ ...report('a', []), pendingTasks: 5 }), false);
  assert.deepEqual([others.jobsOf('cpu'), others.pendingTasks], [0, 5]);
  assert.equal(others.take({ ...report('a', [['w1', 1]]), pendingTasks: 5 }), true);
  assert.equal(others.jobsOf('cpu'), 1);
  assert.equal(others.take({ ...report('a', [['w1', 1]]), pendingTasks: 6 }), false, 'homes are as they were');
  assert.equal(others.take({ ...report('a', []), pendingTasks: 6 }), true);
  assert.deepEqual([others.jobsOf('cpu'), others.pendingTasks], [0, 6]);
});

test('two sides hear of each other, of a change soon, of an end at once', () => {
  const clock = new ManualClock();
  const { bus, listeners } = localBus();
  let told = 0;
  let load: OwnLoad = IDLE;
  const a = new LoadExchange(bus, clock);
  const b = new LoadExchange(bus, clock);
  a.begin({
    get load() {
      return load;
    },
    othersChanged: () => {},
  });
  b.begin({ load: IDLE, othersChanged: () => (told += 1) });
  load = { jobs: [['cpu', 1]], homes: [['w1', 1]], pendingTasks: 0 };
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
