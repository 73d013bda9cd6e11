// What comes over the wire and is wrong: frames that are none, messages that are too large, and garbage where a peer is
// expected. Whoever gets it stays up, answers with one clear error, and goes on to serve.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { MOST_REQUEST_BYTES } from '../../coordinator/api/limits.ts';
import { SERVER_OPTIONS } from '../../shared/rpc/channel.ts';
import { writeToyCampaign } from '../support/campaigns.ts';
import { Cluster } from '../support/cluster.ts';
import type { ClusterProcess } from '../support/cluster-process.ts';
import { JobWatch } from '../support/job-watch.ts';
import { submit } from '../support/jobs-api.ts';
import { isRunning } from '../support/processes.ts';

const MIB = 1024 * 1024;
const WORKER_LIMIT = SERVER_OPTIONS['grpc.max_receive_message_length'] as number;
/** Statuses of gRPC. */
const [CANCELLED, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL] = [1, 3, 8, 12, 13];
/** Of a call that ends before its message is whole: gRPC's library tells that none came in several ways. */
const CUT_OFF = [INTERNAL, INVALID_ARGUMENT, CANCELLED, UNIMPLEMENTED, null];

let cluster: Cluster;
let watch: JobWatch;

before(async () => {
  cluster = await Cluster.start({ coordinators: 1, workers: 1 });
  watch = await JobWatch.open(cluster.natsUrl);
});

after(async () => {
  await watch?.close();
  await cluster?.remove();
});

interface Reply {
  /** gRPC status, or null where the stream was reset or the connection closed. */
  readonly status: number | null;
  readonly message: string;
}

/** One call with this body, as it stands, over HTTP/2. */
function post(session: ClientHttp2Session, method: string, body: Uint8Array): Promise<Reply> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let reply: Reply = { status: null, message: '' };
    const take = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] === undefined) return;
      const message = decodeURIComponent(String(headers['grpc-message'] ?? ''));
      reply = { status: Number(headers['grpc-status']), message };
    };
    stream
      .on('response', take)
      .on('trailers', take)
      .on('error', () => {});
    stream.once('close', () => resolve(reply));
    stream.resume().end(body);
  });
}

/** A message of gRPC: a flag, a length, and that many bytes unless another length is claimed. */
function frame(bytes: Uint8Array, { flag = 0, claimed = bytes.length } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flag, 0);
  head.writeUInt32BE(claimed, 1);
  return Buffer.concat([head, bytes]);
}

async function withSession<T>(
  { address }: ClusterProcess,
  call: (session: ClientHttp2Session) => Promise<T>,
): Promise<T> {
  const session = connectHttp2(`http://${address}`);
  session.on('error', () => {});
  try {
    return await call(session);
  } finally {
    session.destroy();
  }
}

/** Processes that a peer can reach, and a method of each. */
const parties = () =>
  [
    [cluster.coordinators[0], '/espalier.v1.Jobs/List'],
    [cluster.coordinators[0], '/espalier.v1.Blobs/FindMissing'],
    [cluster.coordinators[0], '/espalier.v1.Jobs/Submit'],
    [cluster.workers[0], '/espalier.v1.Worker/Run'],
    [cluster.workers[0], '/espalier.v1.Blobs/FindMissing'],
  ] as const;

async function stillServes(): Promise<void> {
  for (const process of cluster.processes) {
    assert.ok(isRunning(process.pid), `${process.name}: ${process.lastLog().slice(-2_000)}`);
    assert.equal(process.starts, 1);
    assert.doesNotMatch(process.lastLog(), /unhandled|uncaught/i);
  }
  const file = await writeToyCampaign(
    cluster.folderOf('client', 'campaign'),
    `after-${randomBytes(4).toString('hex')}`,
    {
      jobs: 1,
    },
  );
  await watch.done(await submit(cluster, file), 60_000);
}

/** No protobuf begins so. */
const NO_MESSAGE = Buffer.alloc(100, 0xff);

const FRAMES: readonly {
  readonly name: string;
  readonly body: Buffer;
  readonly statuses: readonly (number | null)[];
}[] = [
  { name: 'no valid message', body: frame(NO_MESSAGE), statuses: [INTERNAL, INVALID_ARGUMENT] },
  {
    name: 'compressed, and is not',
    body: frame(NO_MESSAGE, { flag: 1 }),
    statuses: [INTERNAL, INVALID_ARGUMENT, UNIMPLEMENTED],
  },
  {
    name: 'cut off',
    body: frame(NO_MESSAGE, { claimed: 1000 }),
    statuses: CUT_OFF,
  },
  { name: 'claims 4 GB', body: frame(NO_MESSAGE, { claimed: 0xfffffff0 }), statuses: [RESOURCE_EXHAUSTED] },
  { name: 'no frame at all', body: Buffer.alloc(3, 0xff), statuses: CUT_OFF },
];

for (const { name, body, statuses } of FRAMES)
  test(`a message that is ${name} is refused by every party`, async () => {
    for (const [process, method] of parties()) {
      const { status, message } = await withSession(process, (session) => post(session, method, body));
      assert.ok(statuses.includes(status), `${process.name} ${method}: got status ${status} ${message}`);
      assert.doesNotMatch(message, /\n|at .*\.js/, 'no stack reaches a peer');
    }
    await stillServes();
  });

test('messages above the limit are refused before they are read whole', async () => {
  for (const [process, method] of parties()) {
    const limit = process === cluster.workers[0] ? WORKER_LIMIT : MOST_REQUEST_BYTES;
    // Only the length that is claimed is this large, and a part of the bytes.
    const body = frame(Buffer.alloc(MIB), { claimed: limit + 1 });
    const { status } = await withSession(process, (session) => post(session, method, body));
    assert.equal(status, RESOURCE_EXHAUSTED, `${process.name} ${method}`);
  }
  await stillServes();
});

test('an unknown method is told so', async () => {
  for (const [process] of parties()) {
    const { status } = await withSession(process, (session) =>
      post(session, '/espalier.v1.Jobs/Nothing', frame(Buffer.alloc(0))),
    );
    assert.equal(status, UNIMPLEMENTED);
  }
});

test('bytes that are no HTTP/2, on every port', async () => {
  for (const { port } of cluster.processes)
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), randomBytes(100_000), Buffer.alloc(0)]) {
      const socket = connect(port, '127.0.0.1');
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.on('error', () => {});
      socket.resume().end(bytes);
      await Promise.race([closed, new Promise((resolve) => socket.once('end', resolve))]);
      socket.destroy();
    }
  await stillServes();
});

test('connections that say nothing and many that come at once are no harm', async () => {
  const sockets = cluster.processes.flatMap(({ port }) =>
    Array.from({ length: 100 }, () => connect(port, '127.0.0.1')),
  );
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
  await stillServes();
  for (const socket of sockets) socket.destroy();
});
