// Tensors through a real server: what arrives is what was sent, and what should not be believed is refused.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Server, ServerCredentials, type ServerWritableStream, type UntypedHandleCall } from '@grpc/grpc-js';
import { EspalierError } from '../../../shared/errors.ts';
import { Releases } from '../../../shared/lifecycle.ts';
import { connectWorker, SERVER_OPTIONS } from '../../../shared/rpc/channel.ts';
import type { Frame } from '../../../shared/rpc/generated/espalier/v1/Frame.ts';
import { CHUNK_BYTES, protocol } from '../../../shared/rpc/protocol.ts';
import { toStatus } from '../../../shared/rpc/status.ts';
import {
  DEFAULT_TENSOR_LIMITS,
  readTensors,
  type TensorSink,
  type TensorWriter,
  writeTensors,
} from '../../../shared/rpc/tensor-stream.ts';
import type { NamedTensor } from '../../../shared/tensor.ts';
import { gate, until } from '../../support/until.ts';

type RunCall = ServerWritableStream<unknown, Frame>;

let releases = new Releases();
afterEach(async () => {
  await releases.run();
  releases = new Releases();
});

/** A server whose Run does what the test says, and a client of it. */
async function serve(run: (call: RunCall) => Promise<void>) {
  const server = new Server(SERVER_OPTIONS);
  const handle = (call: RunCall) => void run(call).catch((error) => call.emit('error', toStatus(error)));
  const unused: UntypedHandleCall = () => {};
  server.addService(protocol().Worker.service, { Run: handle as UntypedHandleCall, Describe: unused });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  releases.add(() => server.forceShutdown());
  const connection = connectWorker(`127.0.0.1:${port}`);
  releases.add(() => connection.close());
  return connection.worker;
}

/** Sends these frames as they are. */
const frames =
  (...list: Frame[]) =>
  async (call: RunCall) => {
    for (const frame of list) call.write(frame);
    call.end();
  };

const header = (name: string, dtype: string, ...shape: number[]): Frame => ({ header: { name, dtype, shape } });
const chunk = (bytes: number): Frame => ({ chunk: Buffer.alloc(bytes, 1) });

test('tensors of every type, empty, scalar and larger than a chunk arrive as they were', async () => {
  const big = Float32Array.from({ length: CHUNK_BYTES / 2 + 3 }, (_, i) => i);
  const backing = new Float64Array([9, 1, 2, 3, 9]);
  const sent: NamedTensor[] = [
    { name: 'u8', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 255) },
    { name: 'f64', dtype: 'F64', shape: [3], data: backing.subarray(1, 4) },
    { name: 'scalar', dtype: 'F64', shape: [], data: Float64Array.of(Math.PI) },
    { name: 'empty', dtype: 'F32', shape: [0, 5], data: new Float32Array() },
    { name: 'i32', dtype: 'I32', shape: [1, 2], data: Int32Array.of(-1, 2 ** 31 - 1) },
    { name: 'i64', dtype: 'I64', shape: [1], data: BigInt64Array.of(-(2n ** 62n)) },
    { name: 'f16', dtype: 'F16', shape: [2], data: Uint16Array.of(1, 65535) },
    { name: 'big', dtype: 'F32', shape: [big.length], data: big },
  ];
  const worker = await serve(async (call) => {
    await writeTensors(call, sent);
    call.end();
  });
  const got = await readTensors(worker.run({}));
  assert.deepEqual([...got.values()], sent);
});

const malformed: [what: string, sent: Frame[], code: string, message: RegExp][] = [
  ['bytes without a header', [chunk(4)], 'protocol', /^got 4 bytes that belong to no tensor$/],
  ['neither header nor chunk', [{}], 'protocol', /^got a frame with neither/],
  ['too few bytes', [header('a', 'F32', 4), chunk(12)], 'protocol', /^a: got 12 of 16 bytes when the stream ended$/],
  [
    'a header too early',
    [header('a', 'F32', 4), header('b', 'F32', 4)],
    'protocol',
    /^a: got 0 of 16 bytes when the next/,
  ],
  ['too many bytes', [header('a', 'U8', 4), chunk(5)], 'protocol', /^a: got 0 of 4 bytes, then 5 more$/],
  ['the same name twice', [header('a', 'U8', 0), header('a', 'U8', 0)], 'protocol', /repeated/],
  ['no name', [header('', 'U8', 0)], 'protocol', /empty/],
  ['an unknown type', [header('a', 'constructor', 1)], 'protocol', /^a: got dtype "constructor"$/],
  ['too many axes', [header('a', 'U8', 1, 1, 1, 1, 1, 1, 1, 1, 1)], 'protocol', /^a: got 9 axes$/],
  ['a product beyond numbers', [header('a', 'U8', 2 ** 40, 2 ** 40)], 'protocol', /^a: got shape/],
  [
    'more bytes than allowed',
    [header('a', 'F64', 2 ** 40)],
    'limit_exceeded',
    /^a: got \[1099511627776\] F64, more than/,
  ],
];
for (const [what, sent, code, message] of malformed)
  test(`refused: ${what}`, async () => {
    const worker = await serve(frames(...sent));
    await assert.rejects(readTensors(worker.run({})), { code, message });
  });

test('what a sink takes comes in parts, in order, and is not returned', async () => {
  const big = Float32Array.from({ length: CHUNK_BYTES / 2 + 3 }, (_, i) => i);
  const small: NamedTensor = { name: 'small', dtype: 'F64', shape: [1], data: Float64Array.of(1) };
  const worker = await serve(async (call) => {
    await writeTensors(call, [{ name: 'big', dtype: 'F32', shape: [1, big.length], data: big }, small]);
    call.end();
  });
  const taken = new Float32Array(big.length);
  let parts = 0;
  let bytes = 0;
  let isEnded = false;
  const got = await readTensors(worker.run({}), {
    onBytes: (count) => {
      bytes += count;
    },
    sink: {
      open: ({ name, dtype, shape }) => {
        if (name !== 'big') return null;
        assert.deepEqual([dtype, shape], ['F32', [1, big.length]]);
        return async (elements, at) => {
          // Later parts wait for earlier ones.
          const before = parts;
          await pause(5);
          assert.equal(parts, before);
          taken.set(elements as Float32Array, at);
          parts += 1;
        };
      },
      end() {
        assert.deepEqual(taken, big, 'all is there');
        isEnded = true;
      },
    },
  });
  assert.equal(bytes, big.byteLength + small.data.byteLength, 'what goes to the sink counts');
  assert.deepEqual([...got.values()], [small]);
  assert.ok(parts > 2 && isEnded);
});

test('a sink that refuses ends the call, and parts of elements are refused', async () => {
  const refusal = new EspalierError('not_finite', 'no');
  const worker = await serve(frames(header('a', 'F32', 2), chunk(4), chunk(3), chunk(1)));
  const sink = (write: TensorWriter): TensorSink => ({ open: () => write, end() {} });
  await assert.rejects(readTensors(worker.run({}), { sink: sink(() => Promise.reject(refusal)) }), refusal);
  await assert.rejects(readTensors(worker.run({}), { sink: sink(async () => {}) }), {
    code: 'protocol',
    message: 'a: got 4 of 8 bytes, then 3: no whole number of F32',
  });
});

test('refused: more tensors than allowed', async () => {
  const worker = await serve(frames(header('a', 'U8', 0), header('b', 'U8', 0)));
  const limits = { ...DEFAULT_TENSOR_LIMITS, maxTensors: 1 };
  await assert.rejects(readTensors(worker.run({}), { limits }), { code: 'limit_exceeded' });
});

test('a refused stream is cancelled at the server', async () => {
  let cancelled = false;
  const worker = await serve(async (call) => {
    call.on('cancelled', () => {
      cancelled = true;
    });
    call.write(chunk(4));
  });
  await assert.rejects(readTensors(worker.run({})), { code: 'protocol' });
  await until('the server sees it', () => cancelled);
});

test('a reader that does not read holds the writer back', async () => {
  const data = new Uint8Array(256 * CHUNK_BYTES);
  let written = 0;
  const ended = gate();
  const worker = await serve(async (call) => {
    const write = call.write.bind(call);
    call.write = ((frame: Frame) => {
      written += 1;
      return write(frame);
    }) as typeof call.write;
    await writeTensors(call, [{ name: 'a', dtype: 'U8', shape: [data.length], data }]).finally(ended.open);
    call.end();
  });
  const call = worker.run({});
  let before = -1;
  // Not reading: the writer comes to a stop by itself.
  await until('the writer waits', () => {
    const stopped = written > 2 && written === before;
    before = written;
    return stopped;
  });
  assert.ok(written < 100, `${written} of 257 frames were written to a reader that reads none`);
  const got = await readTensors(call);
  assert.equal(got.get('a')?.data.length, data.length);
  await ended.opened;
});

test('a writer whose reader goes away stops', async () => {
  const data = new Uint8Array(256 * CHUNK_BYTES);
  let failure: unknown;
  const worker = await serve(async (call) => {
    await writeTensors(call, [{ name: 'a', dtype: 'U8', shape: [data.length], data }]).catch((error) => {
      failure = error;
    });
  });
  const call = worker.run({});
  call.on('error', () => {});
  await new Promise((resolve) => call.once('data', resolve));
  call.cancel();
  await until('the writer stops', () => failure !== undefined);
  assert.equal((failure as { code?: string }).code, 'cancelled');
});
