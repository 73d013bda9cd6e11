// Heartbeats are a peer's words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readHeartbeat } from '../../../coordinator/workers/heartbeat-reader.ts';
import type { Heartbeat } from '../../../shared/bus/heartbeat.ts';

const GOOD: Heartbeat = {
  schema: 1,
  instanceId: '0b9f-1',
  address: 'gpu-1.example:7071',
  version: '0.1.0',
  protocolVersion: 1,
  deviceClass: {
    kind: 'gpu',
    model: 'NVIDIA H200',
    intraOpThreads: 0,
    tensorflowVersion: '2.21.0',
    kernels: 'fused',
    tf32: true,
    memoryGb: 128,
  },
  memoryBytes: 1.4e11,
  host: 'gpu-1',
  state: 'serving',
  tasks: 1,
  taskLimit: 5,
  models: ['a'.repeat(64)],
};

const read = (value: unknown, subject = 'espalier.worker.0b9f-1') =>
  readHeartbeat(subject, Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));

test('a right one is read', () => {
  assert.deepEqual(read(GOOD), GOOD);
  for (const address of ['127.0.0.1:1', '[::1]:65535', 'localhost:7071'])
    assert.equal(typeof read({ ...GOOD, address }), 'object', address);
});

const WRONG: [name: keyof Heartbeat, values: unknown[]][] = [
  ['schema', [2, '1', null]],
  ['instanceId', ['', 'a/b', 'x'.repeat(65), 7]],
  ['address', ['gpu', 'gpu:0', 'gpu:65536', ':7071', 'a b:1', 'unix:/tmp/socket', 'dns:///evil:1', 'a'.repeat(254), 1]],
  ['version', ['', 'v'.repeat(129)]],
  ['protocolVersion', [-1, 1.5, '1']],
  [
    'deviceClass',
    [
      null,
      'gpu',
      { ...GOOD.deviceClass, tf32: 'yes' },
      { ...GOOD.deviceClass, memoryGb: -1 },
      { ...GOOD.deviceClass, model: '' },
    ],
  ],
  ['memoryBytes', [-1, Number.MAX_VALUE, '1']],
  ['host', ['', {}]],
  ['state', ['asleep', null]],
  ['tasks', [-1, 2e6]],
  ['taskLimit', [null]],
  ['models', ['a', ['short'], Array.from({ length: 65 }, () => 'a'.repeat(64))]],
];

for (const [name, values] of WRONG)
  test(`${name}: what is wrong is refused by name`, () => {
    for (const value of values) {
      const told = read({ ...GOOD, [name]: value });
      assert.equal(typeof told, 'string', `${JSON.stringify(value)} was taken`);
      assert.match(String(told), name === 'schema' ? /schema/ : new RegExp(`^${name}: got `));
      assert.ok(String(told).length < 200);
    }
  });

test('what is no object, too long or under the name of another is refused', () => {
  for (const value of ['', '[', 'null', '[]', '7'] as const) assert.equal(typeof read(value), 'string', value);
  assert.match(String(read(`"${'x'.repeat(40_000)}"`)), /expected at most/);
  assert.equal(read(GOOD, 'espalier.worker.other'), 'got the name of another worker');
});
