// Configuration of a coordinator process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CoordinatorConfig, parseCoordinatorConfig } from '../../../coordinator/config.ts';

const HOME = { HOME: '/home/user' };

function configOf(argv: string[], env: Record<string, string> = HOME): CoordinatorConfig {
  const command = parseCoordinatorConfig(argv, env);
  assert.equal(command.kind, 'serve');
  return (command as { config: CoordinatorConfig }).config;
}

test('defaults', () => {
  const { id, ...config } = configOf([]);
  assert.match(id, new RegExp(`^[A-Za-z0-9_-]+-${process.pid}$`));
  assert.deepEqual(config, {
    host: '127.0.0.1',
    port: 7070,
    bus: { servers: ['nats://127.0.0.1:4222'], credentials: null, tls: null },
    tls: null,
    insecure: false,
    workerTlsName: null,
    cacheDir: '/home/user/.cache/espalier/coordinator',
    cacheLimitBytes: 50e9,
    volumes: {},
    maxJobs: null,
    leaseMs: 10_000,
    retentionMs: 7 * 86_400_000,
    storeLimitBytes: null,
    replicas: 1,
    metricsHost: '127.0.0.1',
    metricsPort: 9470,
    healthHost: '127.0.0.1',
    healthPort: 0,
    otlpEndpoint: null,
  });
});

test('flags go before the environment, volumes may be given several times', () => {
  const env = { ...HOME, ESPALIER_MAX_JOBS: '9', ESPALIER_NATS: 'tls://n:4222', ESPALIER_VOLUME: 'a=/x,b=/y' };
  const config = configOf(['--max-jobs=3', '--lease-seconds', '2.5', '--nats-tls-ca', 'ca.pem'], env);
  assert.equal(config.maxJobs, 3);
  assert.equal(config.leaseMs, 2_500);
  assert.deepEqual(config.bus, {
    servers: ['tls://n:4222'],
    credentials: null,
    tls: { ca: 'ca.pem', certificate: null, key: null },
  });
  assert.deepEqual(config.volumes, { a: '/x', b: '/y' });
  assert.deepEqual(configOf(['--volume', 'm=/models', '--volume=d=/data=1'], env).volumes, {
    m: '/models',
    d: '/data=1',
  });
});

test('every problem is reported at once', () => {
  const argv = ['--port', '70000', '--id=a.b', '--bogus', '--volume', 'models', '--volume', 'm=', '--max-jobs=0'];
  assert.throws(
    () => parseCoordinatorConfig([...argv, '--host=0.0.0.0'], { ...HOME, ESPALIER_RETENTION_DAYS: 'ever' }),
    {
      code: 'usage',
      message: [
        '--bogus: unknown',
        '--port: got "70000", expected a whole number in [0, 65535]',
        '--id: got "a.b", expected 1 to 64 letters, digits, "-" and "_"',
        '--volume: got "models,m=", expected NAME=FOLDER, several separated by commas; a name has 1 to 64 letters, digits, "-" and "_"',
        '--max-jobs: got "0", expected a whole number in [1, 10000] or "auto"',
        'ESPALIER_RETENTION_DAYS: got "ever", expected a number in [0.001, 36500]',
        '--host: got 0.0.0.0 without TLS; give --tls-ca, --tls-certificate and --tls-key, or --insecure',
      ].join('; '),
    },
  );
  assert.throws(() => parseCoordinatorConfig(['--volume=a=/x', '--volume=a=/y', '--nats='], HOME), {
    code: 'usage',
    message: /--nats: got "", expected nats:\/\/.*; --volume: got "a=\/x,a=\/y", expected each name once/,
  });
});

test("a name for all workers' certificates takes TLS, and is one that a certificate can hold", () => {
  const tls = ['--tls-ca=ca.pem', '--tls-certificate=c.pem', '--tls-key=k.pem'];
  assert.equal(configOf([...tls, '--worker-tls-name=worker.espalier.svc']).workerTlsName, 'worker.espalier.svc');
  for (const name of ['10.0.0.7', '::1', '*.espalier.svc', 'a..b', '-a', 'a b', 'a:1', `${'a'.repeat(64)}.b`])
    assert.throws(() => configOf([...tls, '--worker-tls-name', name]), {
      code: 'usage',
      message: `--worker-tls-name: got "${name}", expected a DNS name`,
    });
  assert.throws(() => configOf(['--worker-tls-name=a']), {
    code: 'usage',
    message: '--worker-tls-name: got one without TLS; give --tls-ca, --tls-certificate and --tls-key',
  });
});

test('the health port, by flags or the environment', () => {
  const env = { ...HOME, ESPALIER_HEALTH_HOST: '0.0.0.0', ESPALIER_HEALTH_PORT: '9480' };
  const { healthHost, healthPort } = configOf([], env);
  assert.deepEqual([healthHost, healthPort], ['0.0.0.0', 9480]);
  assert.equal(configOf(['--health-port=9'], env).healthPort, 9);
  assert.equal(configOf(['--metrics-host=10.0.0.7']).healthHost, '10.0.0.7', 'where the metrics are');
  assert.throws(() => configOf(['--health-port=65536']), { message: /^--health-port: got "65536", expected a whole/ });
});

test('--print-config and --help', () => {
  assert.equal(parseCoordinatorConfig(['--print-config'], HOME).kind, 'print-config');
  const help = parseCoordinatorConfig(['--help', '--bogus'], {});
  assert.equal(help.kind, 'help');
  assert.match((help as { text: string }).text, /--lease-seconds .*ESPALIER_LEASE_SECONDS; default 10/);
});

test('traces go where the variable that all programs share says, unless ours says otherwise', () => {
  const common = { ...HOME, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://one:4318' };
  assert.equal(configOf([], common).otlpEndpoint, 'http://one:4318');
  assert.equal(configOf([], { ...common, ESPALIER_OTLP_ENDPOINT: '' }).otlpEndpoint, null);
  assert.equal(configOf([], { ...common, ESPALIER_OTLP_ENDPOINT: 'https://two' }).otlpEndpoint, 'https://two');
  assert.equal(configOf(['--otlp-endpoint', 'http://three'], common).otlpEndpoint, 'http://three');
  assert.equal(configOf([], { ...HOME, OTEL_EXPORTER_OTLP_ENDPOINT: '' }).otlpEndpoint, null);
  for (const text of ['one:4318', 'ftp://one', 'http://user:word@one'])
    assert.throws(() => configOf([], { ...HOME, OTEL_EXPORTER_OTLP_ENDPOINT: text }), {
      code: 'usage',
      message: `OTEL_EXPORTER_OTLP_ENDPOINT: got "${text.replace('user:word', '…')}", expected an http:// or https:// URL without user and password`,
    });
});
