// The proxy that fault tests break connections with does what each fault says, and nothing when there is none.
import assert from 'node:assert/strict';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { until } from '../../support/until.ts';

let echo: Server;
let proxy: FaultProxy;

before(async () => {
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => {
    echo.listen(0, '127.0.0.1', resolve);
  });
  proxy = await FaultProxy.open((echo.address() as { port: number }).port);
});

after(async () => {
  await proxy.close();
  echo.close();
});

interface Peer {
  readonly socket: Socket;
  readonly received: () => Buffer;
  readonly closed: () => boolean;
}

function dial(): Peer {
  const socket = connect(proxy.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  let closed = false;
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.on('error', () => {});
  socket.on('close', () => {
    closed = true;
  });
  return { socket, received: () => Buffer.concat(chunks), closed: () => closed };
}

test('without faults every byte passes, in order', async () => {
  const { socket, received, closed } = dial();
  const sent = Buffer.from(Uint32Array.from({ length: 500_000 }, (_, i) => i).buffer);
  socket.end(sent);
  await until('it is closed', closed);
  assert.ok(received().equals(sent));
  await until('nothing is open', () => proxy.open === 0);
});

test('a cut ends standing connections and lets new ones in', async () => {
  const first = dial();
  first.socket.write('one');
  await until('it came back', () => received(first) === 'one');
  assert.equal(proxy.cut(), 1);
  await until('it is closed', first.closed);
  const second = dial();
  second.socket.write('two');
  await until('it came back', () => received(second) === 'two');
  second.socket.destroy();
});

test('refused connections are closed, standing ones stay', async () => {
  const standing = dial();
  standing.socket.write('a');
  await until('it came back', () => received(standing) === 'a');
  proxy.set({ refuse: true });
  const refused = dial();
  await until('it is closed', refused.closed);
  standing.socket.write('b');
  await until('it came back', () => received(standing) === 'ab');
  proxy.heal();
  standing.socket.destroy();
});

test('a silent proxy passes nothing until it is healed, and then all', async () => {
  const peer = dial();
  peer.socket.write('before');
  await until('it came back', () => received(peer) === 'before');
  const passed = proxy.bytes;
  proxy.set({ silent: true });
  peer.socket.write(' after');
  const late = dial();
  late.socket.write('late');
  // A healthy one, to the same server, answers meanwhile: the silence is the proxy's.
  const control = connect((echo.address() as { port: number }).port, '127.0.0.1');
  let heard = '';
  control.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
  });
  control.write('control');
  await until('the control came back', () => heard === 'control');
  control.destroy();
  assert.equal(proxy.bytes, passed);
  assert.ok(!peer.closed() && !late.closed());
  proxy.heal();
  await until('all came back', () => received(peer) === 'before after' && received(late) === 'late');
  peer.socket.destroy();
  late.socket.destroy();
});

test('a delay and a bandwidth slow it down', async () => {
  const roundTrip = async (bytes: number) => {
    const peer = dial();
    const begin = performance.now();
    peer.socket.write(Buffer.alloc(bytes));
    await until('it came back', () => peer.received().length === bytes);
    peer.socket.destroy();
    return performance.now() - begin;
  };
  proxy.set({ delayMs: 50 });
  assert.ok((await roundTrip(1)) >= 99, 'there and back, less the rounding of timers');
  proxy.set({ bytesPerSecond: 1e6 });
  assert.ok((await roundTrip(100_000)) >= 150, '0.1 s each way, of which pieces overlap');
  proxy.heal();
});

function received(peer: Peer): string {
  return peer.received().toString();
}
