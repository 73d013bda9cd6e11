// `npm run cluster`: NATS, one coordinator and some workers on this machine, until Ctrl-C. Whatever ends this process,
// `kill -9` included, ends them too. Jobs and models stay in a folder: the next start goes on with them.

import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ManagedProcess } from './cluster/managed-process.mjs';
import { HELP, readOptions, requirePorts } from './cluster/options.mjs';
import { withoutTls, withTls } from './cluster/security.mjs';
import { writeDemoData } from './demo-data.mjs';
import { withLock } from './lock.mjs';
import { natsServerFile } from './nats-server.mjs';
import { SetupProblem } from './problem.mjs';

const HERE = path.join(import.meta.dirname, 'cluster');
const HOST = '127.0.0.1';
const POLL_MS = 50;
const GRACE_MS = { coordinator: 20_000, worker: 15_000, nats: 10_000 };
// npm passes a terminal's Ctrl-C on to a program that got it from the terminal as well: two so close together are one.
const SAME_SIGNAL_MS = 300;
const GB = 1e9;
/** Beside the blobs: records, events, the work queue. */
const OTHER_STREAMS_GB = 6;
/** Of the user's own settings, those that a cluster of one machine has a use for. */
const KEPT_VARIABLES = ['ESPALIER_DEBUG', 'ESPALIER_MEMORY_GB', 'ESPALIER_OTLP_ENDPOINT'];

/** Runs the cluster in a checkout that is set up. @returns the exit code. */
export async function runCluster(context, args) {
  const options = readOptions(args);
  if (options === null) {
    console.log(HELP);
    return 0;
  }
  const folder = path.resolve(context.root, options.folder);
  const onWait = (pid) => {
    throw new SetupProblem(`process ${pid} already runs a cluster on ${folder}`);
  };
  return withLock(path.join(folder, 'lock'), { onWait, signal: context.signal }, async () => {
    await requirePorts(options);
    const { train, dev } = writeDemoData(context);
    say(`the sentences of examples/campaign.yaml are in ${train} and ${dev}`);
    const storeGb = Math.max(1, Math.min(100, Math.floor(freeGigabytes(folder) / 2)));
    const security = options.tls
      ? await withTls(context, folder, { natsPort: options.natsPort, storeGb: storeGb + OTHER_STREAMS_GB })
      : withoutTls(options);
    const processes = describeProcesses(context, options, { folder, storeGb, security });
    return keepRunning(processes, () => announce(options, security), context.signal);
  });
}

/** Starts groups of processes in order, ends them in the other one, until a signal comes or one cannot be kept running.
 * @returns the exit code. @throws SetupProblem of the one that failed, when all are gone. */
export async function keepRunning(processes, announceReady, signal) {
  const stopped = deferred();
  const killAll = () => {
    for (const group of processes) for (const each of group) each.kill();
  };
  const stopListening = onStop(
    () => stopped.resolve(null),
    () => {
      say('ending at once');
      killAll();
    },
  );
  if (signal.aborted) stopped.resolve(null);
  for (const each of processes.flat()) each.settings.onFailed = (problem) => stopped.resolve(problem);
  // Also an error of this program itself must leave nothing behind.
  process.once('exit', killAll);
  try {
    const started = startAll(processes, stopped.promise).then(
      (isReady) => isReady && announceReady(),
      (problem) => stopped.resolve(problem),
    );
    const problem = await stopped.promise;
    if (problem === null) say('ending; Ctrl-C once more ends it at once');
    for (const group of [...processes].reverse())
      await Promise.all(group.map((each) => each.end(each.settings.graceMs)));
    await started;
    if (problem !== null) throw problem;
    say('ended; `npm run cluster` goes on with its jobs');
    return 0;
  } finally {
    stopListening();
    process.off('exit', killAll);
  }
}

async function startAll(processes, stopped) {
  let isStopped = false;
  void stopped.then(() => {
    isStopped = true;
  });
  for (const group of processes) {
    if (isStopped) return false;
    await Promise.all(group.map((each) => each.start()));
  }
  return !isStopped;
}

/** In the order of their start. They end in the other one: the coordinator hands its jobs back while there are workers,
 * and all of them say goodbye while there is NATS. */
function describeProcesses(context, options, { folder, storeGb, security }) {
  const { port, natsPort, metricsPort, device } = options;
  const env = { TF_CPP_MIN_LOG_LEVEL: '2', ...withoutSettings(context.env) };
  const common = { env, cwd: context.root, show: (line) => console.log(line) };
  const nats = ['--nats', security.natsUrl];
  // All workers together take half of what is free, as those of `espalier prune` do.
  const memoryGb = env.ESPALIER_MEMORY_GB ?? Math.max(0.2, os.freemem() / 2 / options.workers / GB).toFixed(1);
  return [
    [
      new ManagedProcess({
        ...common,
        name: 'nats',
        file: path.join(HERE, 'run-watched.mjs'),
        args: [natsServerFile(context), '-c', security.natsConfig ?? writeNatsConfig(folder, natsPort, storeGb)],
        graceMs: GRACE_MS.nats,
        waitUntilReady: (_child, signal) => waitForNats(natsPort, signal),
      }),
    ],
    Array.from(
      { length: options.workers },
      (_, index) =>
        new ManagedProcess({
          ...common,
          name: `worker-${index + 1}`,
          file: path.join(context.root, 'dist/worker/main.js'),
          execArgv: ['--enable-source-maps'],
          args: [
            ...security.flags.worker,
            ...['--host', HOST, '--port', '0', ...nats, '--device', device, '--workers', '1'],
            ...(device === 'cpu' ? ['--memory-gb', memoryGb] : []),
            ...['--blob-dir', path.join(folder, 'workers')],
            ...['--metrics-host', HOST, '--metrics-port', String(metricsPort + 1 + index)],
          ],
          graceMs: GRACE_MS.worker,
          waitUntilReady: waitForMessage,
        }),
    ),
    [
      new ManagedProcess({
        ...common,
        name: 'coordinator',
        file: path.join(context.root, 'cli/espalier.mjs'),
        execArgv: ['--enable-source-maps', '--import', path.join(HERE, 'end-with-parent.mjs')],
        args: [
          'coordinator',
          ...security.flags.coordinator,
          ...['--host', HOST, '--port', String(port), ...nats, '--store-limit-gb', String(storeGb)],
          ...['--cache-dir', path.join(folder, 'coordinator')],
          ...['--metrics-host', HOST, '--metrics-port', String(metricsPort)],
        ],
        graceMs: GRACE_MS.coordinator,
        waitUntilReady: (_child, signal) => waitForHttp(`http://${HOST}:${metricsPort}/readyz`, signal),
      }),
    ],
  ];
}

function announce({ port, workers }, { userEnv }) {
  const address = port === 7070 ? '' : ` --coordinator localhost:${port}`;
  say(`ready: NATS, a coordinator on localhost:${port}, ${workers} ${workers === 1 ? 'worker' : 'workers'}`);
  for (const [name, value] of Object.entries(userEnv)) say(`in another terminal: export ${name}=${value}`);
  say(`in another terminal: npx espalier submit examples/campaign.yaml${address}`);
}

function writeNatsConfig(folder, port, storeGb) {
  const store = path.join(folder, 'nats');
  fs.mkdirSync(store, { recursive: true });
  const file = path.join(folder, 'nats.conf');
  const jetstream = {
    store_dir: store,
    max_file_store: (storeGb + OTHER_STREAMS_GB) * GB,
    max_memory_store: 0.25 * GB,
  };
  // NATS reads JSON as well as its own form.
  fs.writeFileSync(file, `${JSON.stringify({ host: HOST, port, jetstream }, null, 2)}\n`);
  return file;
}

function freeGigabytes(folder) {
  fs.mkdirSync(folder, { recursive: true });
  const { bavail, bsize } = fs.statfsSync(folder);
  return (bavail * bsize) / GB;
}

function withoutSettings(env) {
  const isKept = (name) => !name.startsWith('ESPALIER_') || KEPT_VARIABLES.includes(name);
  return Object.fromEntries(Object.entries(env).filter(([name]) => isKept(name)));
}

/** A NATS server greets with "INFO". */
async function waitForNats(port, signal) {
  await poll(signal, () => {
    const socket = net.connect(port, HOST);
    return new Promise((resolve) => {
      socket.once('error', () => resolve(false));
      socket.once('data', (bytes) => resolve(bytes.toString('latin1').startsWith('INFO ')));
      socket.once('close', () => resolve(false));
    }).finally(() => socket.destroy());
  });
}

async function waitForHttp(url, signal) {
  await poll(signal, async () => {
    try {
      const response = await fetch(url, { signal });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  });
}

async function poll(signal, isReady) {
  while (!(await isReady())) await sleep(POLL_MS, undefined, { signal });
}

/** A forked worker tells its parent when it serves, or why it does not. */
function waitForMessage(child, signal) {
  return new Promise((resolve, reject) => {
    child.on('message', (message) => {
      if (message.kind === 'ready') resolve();
    });
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Calls `stop` at the first signal and `force` at each that follows. @returns what ends listening. */
function onStop(stop, force) {
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  let lastMs = Number.NEGATIVE_INFINITY;
  let count = 0;
  const listener = () => {
    if (performance.now() - lastMs < SAME_SIGNAL_MS) return;
    lastMs = performance.now();
    count += 1;
    if (count === 1) stop();
    else force();
  };
  for (const name of names) process.on(name, listener);
  return () => {
    for (const name of names) process.off(name, listener);
  };
}

function deferred() {
  let resolve;
  const promise = new Promise((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

const say = (line) => console.log(`cluster: ${line}`);
