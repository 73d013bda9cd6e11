// Configuration of a worker process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseWorkerConfig, type WorkerConfig } from '../../../worker/config.ts';

const HOME = { HOME: '/home/user' };

function configOf(argv: string[], env: Record<string, string> = HOME): WorkerConfig {
  const command = parseWorkerConfig(argv, env);
  assert.equal(command.kind, 'serve');
  return (command as { config: WorkerConfig }).config;
}

test('defaults', () => {
  assert.deepEqual(configOf([]), {
    host: '127.0.0.1',
    port: 7077,
    blobDir: '/home/user/.cache/espalier/blobs',
    blobLimitBytes: 50e9,
    threads: 1,
    memoryBytes: null,
    gpuMemoryBytes: null,
    device: 'auto',
    kernels: 'auto',
    queue: 4,
    tls: null,
    bus: null,
    advertise: null,
    metricsHost: '127.0.0.1',
    metricsPort: 9471,
    healthHost: '127.0.0.1',
    healthPort: 0,
    drainMs: 10_000,
    workers: 'auto',
    otlpEndpoint: null,
  });
});

test('flags go before the environment, that before the defaults', () => {
  const env = { ...HOME, ESPALIER_PORT: '1', ESPALIER_THREADS: '3', ESPALIER_BLOB_LIMIT_GB: '0.5' };
  const config = configOf(['--port=0', '--memory-gb', '2', '--device', 'cpu', '--blob-dir', '/var/blobs'], env);
  assert.equal(config.port, 0);
  assert.equal(config.threads, 3);
  assert.equal(config.blobLimitBytes, 5e8);
  assert.equal(config.memoryBytes, 2e9);
  for (const [text, bytes] of [
    ['16GB', 1.6e10],
    ['0.5GB', 5e8],
    ['500MB', 5e8],
    ['123456789', 123456789],
  ] as const)
    assert.equal(configOf(['--gpu-memory', text]).gpuMemoryBytes, bytes);
  assert.equal(config.device, 'cpu');
  assert.equal(config.blobDir, '/var/blobs');
});

test('every problem is reported at once, with its name, what was got and what was expected', () => {
  const argv = ['--port', '70000', '--device=tpu', '--bogus', '--queue', '--threads', '1', '--threads', '2', 'extra'];
  assert.throws(() => parseWorkerConfig(argv, { ...HOME, ESPALIER_MEMORY_GB: 'lots' }), {
    code: 'usage',
    message: [
      '--bogus: unknown',
      '--queue: got no value',
      '--threads: given twice',
      '2: unknown',
      'extra: unknown',
      '--port: got "70000", expected a whole number in [0, 65535]',
      'ESPALIER_MEMORY_GB: got "lots", expected a number in [0.1, 100000] or "auto"',
      '--device: got "tpu", expected one of auto, cpu, gpu',
    ].join('; '),
  });
});

test('without a home the blob folder must be given', () => {
  assert.throws(() => parseWorkerConfig([], {}), {
    code: 'usage',
    message: '--blob-dir: got "", expected a folder: it has a default only where HOME or XDG_CACHE_HOME is set',
  });
  assert.equal(configOf([], { ESPALIER_BLOB_DIR: '/var/cache/espalier' }).blobDir, '/var/cache/espalier');
});

test('TLS takes all three files, from flags or the environment', () => {
  const argv = ['--host', '0.0.0.0', '--tls-certificate', 'w.pem', '--tls-key=k.pem'];
  assert.deepEqual(configOf(argv, { ...HOME, ESPALIER_TLS_CA: 'ca.pem' }).tls, {
    ca: 'ca.pem',
    certificate: 'w.pem',
    key: 'k.pem',
  });
  assert.throws(() => parseWorkerConfig(argv, HOME), {
    code: 'usage',
    message: '--tls-ca: missing; TLS takes all of --tls-ca, --tls-certificate, --tls-key',
  });
});

test('without TLS only this machine is served, unless --insecure is given', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
    assert.equal(configOf(['--host', host]).host, host);
  for (const host of ['0.0.0.0', '::', '10.0.0.7', 'worker1.example', '127.example']) {
    assert.throws(() => parseWorkerConfig(['--host', host], HOME), {
      code: 'usage',
      message: `--host: got ${host} without TLS; give --tls-ca, --tls-certificate and --tls-key, or --insecure`,
    });
    assert.equal(configOf(['--insecure', '--host', host]).tls, null);
  }
});

test('NATS, the address that heartbeats say, and the rest of a cluster', () => {
  const argv = ['--nats', 'nats://a:4222,tls://b:4222', '--nats-credentials=c.creds', '--advertise', 'w1.example:9000'];
  const env = { ...HOME, ESPALIER_NATS_TLS_CA: 'ca.pem', ESPALIER_WORKERS: '3' };
  const config = configOf([...argv, '--drain-seconds=2.5', '--otlp-endpoint', 'http://localhost:4318'], env);
  assert.deepEqual(config.bus, {
    servers: ['nats://a:4222', 'tls://b:4222'],
    credentials: 'c.creds',
    tls: { ca: 'ca.pem', certificate: null, key: null },
  });
  assert.deepEqual(config.advertise, { host: 'w1.example', port: 9000 });
  assert.deepEqual(configOf(['--advertise=[::1]']).advertise, { host: '[::1]', port: null });
  assert.equal(config.drainMs, 2500);
  assert.equal(config.workers, 3);
  assert.equal(config.otlpEndpoint, 'http://localhost:4318');
});

test('settings of NATS that make no sense are refused, and passwords are not repeated', () => {
  assert.throws(() => parseWorkerConfig(['--nats-tls-ca', 'ca.pem'], HOME), {
    code: 'usage',
    message: '--nats: missing; got --nats-tls-ca',
  });
  assert.throws(() => parseWorkerConfig(['--nats=nats://n', '--host=0.0.0.0', '--insecure'], HOME), {
    code: 'usage',
    message: '--advertise: missing; --host 0.0.0.0 names no address that coordinators could be told',
  });
  assert.throws(
    () => parseWorkerConfig(['--nats=nats://user:hunter2@n'], HOME),
    (error: Error) => /without user and password/.test(error.message) && !error.message.includes('hunter2'),
  );
  assert.throws(() => parseWorkerConfig(['--nats=http://n', '--advertise=a:b:c', '--workers=0'], HOME), {
    code: 'usage',
    message: /--nats: got .*; --advertise: got .*; --workers: got "0"/,
  });
  assert.throws(() => parseWorkerConfig(['--port=65535', '--workers=2'], HOME), {
    code: 'usage',
    message: '--port: got 65535 for 2 workers, expected at most 65534',
  });
});

test('--print-config and --help', () => {
  assert.equal(parseWorkerConfig(['--print-config'], HOME).kind, 'print-config');
  const help = parseWorkerConfig(['--help', '--bogus'], HOME);
  assert.equal(help.kind, 'help');
  assert.match((help as { text: string }).text, /--blob-limit-gb .*ESPALIER_BLOB_LIMIT_GB; default 50/);
});
