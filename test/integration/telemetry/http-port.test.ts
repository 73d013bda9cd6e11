// The plain HTTP port: what it serves, and what it refuses.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { CoordinatorMetrics } from '../../../shared/telemetry/coordinator-metrics.ts';
import { type HttpPort, startHttpPort } from '../../../shared/telemetry/http-server.ts';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  readonly length: number;
}

function ask(port: number, path: string, method = 'GET', body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          text,
          length: Number(response.headers['content-length']),
        }),
      );
    });
    call.on('error', reject);
    call.end(body);
  });
}

describe('the HTTP port', () => {
  const opened: HttpPort[] = [];
  afterEach(async () => {
    for (const port of opened.splice(0)) await port.close();
  });

  async function open(notReady: () => string | null = () => null, metrics = new CoordinatorMetrics(BUILD)) {
    const port = await startHttpPort({ host: '127.0.0.1', port: 0, metrics, notReady });
    opened.push(port);
    return port;
  }

  const BUILD = { version: '1.2.3', protocolVersion: 1 };

  it('serves metrics', async () => {
    const metrics = new CoordinatorMetrics(BUILD);
    metrics.jobEntered('done');
    const { port } = await open(undefined, metrics);
    const { status, type, text } = await ask(port, '/metrics');
    assert.equal(status, 200);
    assert.match(type, /^text\/plain; version=0\.0\.4/);
    assert.match(text, /^espalier_jobs_total\{state="done"\} 1$/m);
    assert.match(text, /^espalier_build_info\{version="1\.2\.3",protocol_version="1",node_version="v\d+[\d.]*"\} 1$/m);
    assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
  });

  it('says whether the process lives and whether it can work', async () => {
    let reason: string | null = 'no connection to NATS';
    const { port } = await open(() => reason);
    assert.deepEqual(await ask(port, '/healthz'), { ...TEXT, status: 200, text: 'ok\n', length: 3 });
    assert.deepEqual(await ask(port, '/readyz'), {
      ...TEXT,
      status: 503,
      text: 'no connection to NATS\n',
      length: 22,
    });
    reason = null;
    assert.equal((await ask(port, '/readyz?verbose')).status, 200);
  });

  const TEXT = { type: 'text/plain; charset=utf-8' };

  it('answers HEAD without a body, and nothing but GET and HEAD', async () => {
    const { port } = await open();
    assert.deepEqual(await ask(port, '/healthz', 'HEAD'), { ...TEXT, status: 200, text: '', length: 3 });
    assert.equal((await ask(port, '/nothing')).status, 404);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      assert.equal((await ask(port, '/metrics', method, 'a body')).status, 405, method);
  });

  it('reads no body: a sender of one that never ends has its answer and is cut off', async () => {
    const { port } = await open();
    const socket = connect(port, '127.0.0.1');
    socket.write('POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nbegin');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await once(socket, 'close');
    assert.match(text, /^HTTP\/1\.1 405 /);
  });

  it('refuses headers that are too long and keeps few connections', async () => {
    const { port } = await open();
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`);
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await once(socket, 'close');
    assert.match(text, /^HTTP\/1\.1 431 /);

    const sockets = Array.from({ length: 80 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    const closed = await Promise.race(sockets.map((each) => once(each, 'close').then(() => true)));
    assert.ok(closed);
    for (const each of sockets) each.destroy();
  });

  it('says in one line that a port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const metrics = new CoordinatorMetrics(BUILD);
    await assert.rejects(startHttpPort({ host: '127.0.0.1', port, metrics, notReady: () => null }), {
      code: 'usage',
      message: `metrics on 127.0.0.1:${port}: the port is in use`,
      action: 'choose another --metrics-port, or 0 for none',
    });
    other.close();
  });

  it('is gone after close, with connections that stand', async () => {
    const opened = await open();
    const socket = connect(opened.port, '127.0.0.1');
    await once(socket, 'connect');
    const ended = once(socket, 'close');
    await opened.close();
    await ended;
    await assert.rejects(ask(opened.port, '/healthz'), { code: 'ECONNREFUSED' });
  });
});
