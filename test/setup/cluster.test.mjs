// The launcher of `npm run cluster` on small programs in place of the real ones: order, signals, restarts, and that
// nothing outlives it. And once, with --tls, on the real ones.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { eachLine, formatLine } from '../../setup/cluster/log-lines.mjs';
import { readOptions, requirePorts } from '../../setup/cluster/options.mjs';
import { CHECKOUT, temporaryFolder, writeFiles } from './support.mjs';

const at = (name) => JSON.stringify(path.join(CHECKOUT, name));

// A program of the cluster: says its process id and that it got SIGTERM, and ends then unless it is told not to.
const MEMBER = `
  const [, how] = process.argv.slice(2);
  const say = (message) => console.log(JSON.stringify({ time: new Date(), level: 'info', message, id: process.pid }));
  if (how === 'failing') { console.error('no luck today'); process.exit(3); }
  process.on('SIGTERM', () => {
    say('down');
    if (how !== 'stubborn') process.exit(0);
  });
  say('up');
  setInterval(() => {}, 1e6);`;

// Its first member runs below run-watched.mjs, as nats-server does; the second loads end-with-parent.mjs, as the
// coordinator does; the third as well.
const LAUNCHER = `
  import { ManagedProcess } from ${at('setup/cluster/managed-process.mjs')};
  import { keepRunning } from ${at('setup/run-cluster.mjs')};
  import { runProgram } from ${at('setup/program.mjs')};
  const [member, how] = process.argv.slice(2);
  const ready = (child, signal) => new Promise((resolve, reject) => {
    child.stdout.once('data', resolve);
    signal.addEventListener('abort', reject);
  });
  const common = { cwd: '.', env: process.env, show: (line) => console.log(line), waitUntilReady: ready, graceMs: 60_000, restartMs: 1 };
  const follow = ['--import', ${at('setup/cluster/end-with-parent.mjs')}];
  await runProgram((context) => keepRunning([
    [new ManagedProcess({ ...common, name: 'a', file: ${at('setup/cluster/run-watched.mjs')}, args: [process.execPath, member, 'a'] })],
    [new ManagedProcess({ ...common, name: 'b', file: member, args: ['b', how], execArgv: follow })],
    [new ManagedProcess({ ...common, name: 'c', file: member, args: ['c'], execArgv: follow })],
  ], () => console.log('ready'), context.signal));`;

class Launcher {
  lines = [];
  pids = [];

  constructor(t, how = 'willing') {
    const folder = temporaryFolder(t);
    writeFiles(folder, { 'member.mjs': MEMBER, 'launcher.mjs': LAUNCHER });
    const args = [path.join(folder, 'launcher.mjs'), path.join(folder, 'member.mjs'), how];
    this.process = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.process.stdout, this.process.stderr])
      eachLine(stream, (line) => {
        this.lines.push(line);
        const [, pid] = / up {2}id=(\d+)/.exec(line) ?? [];
        if (pid !== undefined) this.pids.push(Number(pid));
      });
    this.exited = once(this.process, 'close');
    t.after(() => {
      this.process.kill('SIGKILL');
      for (const pid of this.pids) if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    });
  }

  /** Lines without the time. */
  get said() {
    return this.lines.map((line) =>
      line
        .replace(/^[\d-]+:[\d-]+:[\d-]+ /, '')
        .replace(/ +/g, ' ')
        .replace(/ id=\d+/, ''),
    );
  }

  async until(what, condition) {
    const deadline = Date.now() + 20_000;
    while (!condition(this)) {
      if (Date.now() > deadline) assert.fail(`waited in vain for ${what}; got:\n${this.lines.join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  ready() {
    return this.until('ready', ({ lines }) => lines.includes('ready'));
  }
}

function isRunning(pid) {
  try {
    return !/^\d+ \(.*\) [ZX] /s.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test('processes start in order and end in the other one', async (t) => {
  const launcher = new Launcher(t);
  await launcher.ready();
  assert.deepEqual(launcher.said, ['a up', 'b up', 'c up', 'ready']);
  launcher.process.kill('SIGINT');
  // As npm does: it is one Ctrl-C all the same.
  launcher.process.kill('SIGINT');
  const [code] = await launcher.exited;
  assert.equal(code, 0);
  assert.deepEqual(
    launcher.said.filter((line) => line.includes('down')),
    ['c down', 'b down', 'a down'],
  );
  assert.deepEqual(launcher.pids.filter(isRunning), []);
});

test('kill -9 of the launcher leaves no process behind', async (t) => {
  const launcher = new Launcher(t, 'stubborn');
  await launcher.ready();
  assert.equal(launcher.pids.filter(isRunning).length, 3);
  launcher.process.kill('SIGKILL');
  await launcher.until('the end of all', ({ pids }) => !pids.some(isRunning));
});

test('a second signal ends at once what does not want to', async (t) => {
  const launcher = new Launcher(t, 'stubborn');
  await launcher.ready();
  launcher.process.kill('SIGTERM');
  await launcher.until('b to be asked', ({ said }) => said.includes('b down'));
  // Those that come right after the first count as the same.
  await launcher.until('the second to count', ({ said }) => {
    if (said.includes('cluster: ending at once')) return true;
    launcher.process.kill('SIGTERM');
    return false;
  });
  const [code] = await launcher.exited;
  assert.equal(code, 0);
  assert.deepEqual(launcher.pids.filter(isRunning), []);
});

test('a process that ends by itself is started again, what it started is gone', async (t) => {
  const launcher = new Launcher(t);
  await launcher.ready();
  const [a, b] = launcher.pids;
  process.kill(b, 'SIGKILL');
  await launcher.until('another b', ({ pids }) => pids.length === 4);
  assert.ok(launcher.said.includes('b ended by SIGKILL; it is started again'));
  // The watcher of the first goes as its program has gone.
  process.kill(a, 'SIGKILL');
  await launcher.until('another a', ({ pids }) => pids.length === 5);
  launcher.process.kill('SIGINT');
  const [code] = await launcher.exited;
  assert.equal(code, 0);
});

test('a process that does not stay is given up, and all end', async (t) => {
  const launcher = new Launcher(t);
  await launcher.ready();
  for (let ends = 0; ends < 5; ends += 1) {
    const { length } = launcher.pids;
    process.kill(launcher.pids.at(ends === 0 ? 1 : -1), 'SIGKILL');
    if (ends < 4) await launcher.until('another b', ({ pids }) => pids.length === length + 1);
  }
  const [code] = await launcher.exited;
  assert.equal(code, 1);
  assert.equal(
    launcher.said.at(-1),
    'set-up failed: b ended 5 times within a minute, the last time with ended by SIGKILL',
  );
  assert.deepEqual(launcher.pids.filter(isRunning), []);
});

test('a process that does not start is one line with its last words, and all end', async (t) => {
  const launcher = new Launcher(t, 'failing');
  const [code] = await launcher.exited;
  assert.equal(code, 1);
  assert.equal(launcher.said.at(-1), 'set-up failed: b did not start: no luck today');
  assert.deepEqual(launcher.pids.filter(isRunning), []);
});

/** Options of a cluster with one worker whose ports were free a moment ago. */
async function withFreePorts() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const options = { port, natsPort: port + 1, metricsPort: port + 2, workers: 1 };
    try {
      await requirePorts(options);
      return options;
    } catch {
      // Others then.
    }
  }
}

test('--tls: what is printed lets a user in over TLS, and nobody else, and nothing listens without it', async (t) => {
  const folder = temporaryFolder(t);
  const { port, natsPort, metricsPort, workers } = await withFreePorts();
  const flags = { port, 'nats-port': natsPort, 'metrics-port': metricsPort, workers, folder };
  const program = path.join(CHECKOUT, 'test/support/launch-cluster.mjs');
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const cluster = spawn(process.execPath, [program, '--tls', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => cluster.kill('SIGKILL'));
  const lines = [];
  for (const stream of [cluster.stdout, cluster.stderr]) eachLine(stream, (line) => lines.push(line));
  const exited = once(cluster, 'close');
  const deadline = Date.now() + 60_000;
  while (!lines.some((line) => line.includes('espalier submit'))) {
    if (Date.now() > deadline || cluster.exitCode !== null) assert.fail(`not ready:\n${lines.join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  const exported = lines.flatMap((line) => {
    const [, name, value] = / export (ESPALIER_\w+)=(.+)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, value]];
  });
  const env = { ...process.env, ESPALIER_COORDINATOR: `localhost:${port}` };
  const list = async (more) => {
    const command = [path.join(CHECKOUT, 'cli/espalier.mjs'), 'list', '--json'];
    const child = spawn(process.execPath, command, { env: { ...env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
    const said = { stdout: '', stderr: '' };
    for (const name of Object.keys(said)) eachLine(child[name], (line) => (said[name] += `${line}\n`));
    const [code] = await once(child, 'close');
    return { code, ...said };
  };
  const names = exported.map(([name]) => name);
  assert.deepEqual(names, ['ESPALIER_TLS_CA', 'ESPALIER_TLS_CERTIFICATE', 'ESPALIER_TLS_KEY']);
  const [user, stranger] = await Promise.all([list(Object.fromEntries(exported)), list({})]);
  assert.equal(user.code, 0, user.stderr);
  assert.deepEqual(JSON.parse(user.stdout).jobs, []);
  assert.deepEqual([stranger.code, stranger.stdout], [6, '']);
  assert.match(stranger.stderr, /^espalier: \[tls\] /m);

  // Its first heartbeat may come after all processes are up.
  const metricsNow = async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  let metrics = await metricsNow();
  for (const end = Date.now() + 10_000; !/^espalier_workers 1$/m.test(metrics) && Date.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    metrics = await metricsNow();
  }
  assert.match(metrics, /^espalier_workers 1$/m, 'the worker was let in by the coordinator, both by NATS');
  const ends = [...metrics.matchAll(/^espalier_certificate_expiry_timestamp_seconds\{certificate="(\w+)"\} \d+$/gm)];
  assert.deepEqual(ends.map(([, name]) => name).sort(), ['grpc', 'nats', 'nats_server']);
  const greeting = net.connect(natsPort, '127.0.0.1');
  const [info] = await once(greeting, 'data');
  greeting.destroy();
  assert.match(info.toString('latin1'), /^INFO .*"auth_required":true.*"tls_required":true/s);

  cluster.kill('SIGINT');
  assert.deepEqual(await exited, [0, null]);
});

test('options: defaults, and all problems at once', () => {
  assert.deepEqual(readOptions([]), {
    workers: 2,
    port: 7070,
    natsPort: 4222,
    metricsPort: 9470,
    device: 'cpu',
    folder: '.espalier/cluster',
    tls: false,
  });
  assert.equal(readOptions(['--tls']).tls, true);
  assert.equal(readOptions(['--help']), null);
  assert.throws(() => readOptions(['--workers', '0', '--port=x', '--device', 'abacus']), {
    message:
      '--workers: got "0", expected a whole number in [1, 64]; --port: got "x", expected a whole number in [1, 65535]; ' +
      '--device: got "abacus", expected one of cpu, gpu, auto',
  });
  assert.throws(
    () => readOptions(['--worker', '2']),
    /^SetupProblem: Unknown option '--worker'; see npm run cluster -- --help$/,
  );
});

test('ports that are in use are named with their flags', async (t) => {
  const servers = await Promise.all(
    [1, 2].map(async () => {
      const server = net.createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      t.after(() => server.close());
      return server.address().port;
    }),
  );
  const [port, natsPort] = servers;
  await assert.rejects(requirePorts({ port, natsPort, metricsPort: 1, workers: -1 }), {
    message: `in use on 127.0.0.1: ports ${port} (--port), ${natsPort} (--nats-port); end what uses them, such as another cluster, or give other ports with these flags`,
  });
});

test('lines for the terminal', async () => {
  const line = JSON.stringify({
    time: new Date(2026, 0, 2, 3, 4, 5).toISOString(),
    level: 'warning',
    message: 'task failed',
    process: 'worker',
    pid: 7,
    task: 'fisher/3',
    seconds: 1.23456,
    error: { code: 'deadline' },
  });
  assert.equal(
    formatLine('worker-1', line),
    '03:04:05 worker-1    warning: task failed  task=fisher/3  seconds=1.23  error={"code":"deadline"}',
  );
  assert.equal(formatLine('nats', '[7] 2026/01/02 03:04:05.123456 [INF] Server is ready'), null);
  assert.equal(
    formatLine('nats', '[7] 2026/01/02 03:04:05.123456 [ERR] no space left'),
    '03:04:05 nats        error: no space left',
  );
  const probed = '[7] 2026/01/02 03:04:05.123456 [ERR] 127.0.0.1:42712 - cid:5 - TLS handshake error: EOF';
  assert.equal(formatLine('nats', probed), null);
  assert.match(formatLine('b', 'plain words'), /^\d\d:\d\d:\d\d b {11}plain words$/);
  assert.equal(formatLine('b', '  '), null);
  assert.equal(
    formatLine('b', 'I0000 00:00:1795393394.485175   28724 port.cc:153] oneDNN custom operations are on.'),
    null,
  );
  assert.ok(formatLine('b', 'x'.repeat(1e6)).length < 3000);

  const stream = new PassThrough();
  const lines = [];
  eachLine(stream, (each) => lines.push(each));
  stream.write('one\ntw');
  stream.write('o\n');
  stream.write('x'.repeat(100_000));
  stream.end('\nthree');
  await once(stream, 'end');
  assert.deepEqual([lines[0], lines[1], lines.at(-1)], ['one', 'two', 'three']);
  assert.equal(lines.slice(2, -1).join('').length, 100_000);
});
