// What must hold of built images: who they run as, what is in them and what is not, and that NATS, a coordinator and a worker
// prune the example's model with TLS between all of them. Works on any image with `start`, `stop`, `listFiles`, `config`.

import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { generateReviews, writeReviews } from '../../examples/generate-reviews.mjs';
import { SetupProblem } from '../../setup/problem.mjs';

const USER = 65532;
const NODE = '/usr/local/bin/node';
const LOADER = '/lib64/ld-linux-x86-64.so.2';
const TLS = '/etc/espalier/tls';
const CACHE = '/var/cache/espalier';
const READY_MS = 120_000;
const JOB_MS = 300_000;
const STOP_MS = 20_000;
const UNWANTED =
  /\/s?bin\/((ba|da|z|k|a)?sh|busybox|apt(-get)?|dpkg(-\w+)?|rpm|apk|npm|npx|yarn|corepack|pip3?|python[\d.]*|perl|gcc|g\+\+|cc|c\+\+|ld|as|make|tar|curl|wget)$|\/npm-cli\.js$/;

// Told by a process of the container itself.
const PROBE = `
const fs = require('node:fs');
const writes = (folder) => { try { fs.writeFileSync(folder + '/probe', ''); fs.unlinkSync(folder + '/probe'); return 'yes'; } catch (error) { return error.code; } };
const status = fs.readFileSync('/proc/self/status', 'utf8');
const field = (name) => new RegExp(name + ':\\\\s*(.*)').exec(status)[1].replace(/\\s+/g, ' ');
console.log(JSON.stringify({ first: fs.readFileSync('/proc/1/comm', 'utf8').trim(), uid: field('Uid'), gid: field('Gid'), groups: field('Groups').trim(),
  capabilities: field('CapEff'), noNewPrivileges: field('NoNewPrivs'), root: writes('/'), program: writes('/opt/espalier'), tmp: writes('/tmp'), cache: writes('${CACHE}') }));`;

/** Looks at one image. @param say is told of what holds. @throws SetupProblem with what does not. */
export async function inspectImage(name, image, { version, say, folder }) {
  const { config } = image;
  const labels = config.labels;
  expect(config.user === `${USER}:${USER}`, `${name}: user ${config.user}, expected ${USER}:${USER}`);
  const labelled = labels['org.opencontainers.image.version'];
  expect(labelled === version, `${name}: label version ${labelled}, expected ${version}`);
  const files = await image.listFiles();
  const unwanted = files.filter((file) => UNWANTED.test(file));
  expect(unwanted.length === 0, `${name}: has ${unwanted.join(', ')}`);
  say(
    `${name}: ${files.length} files, ${megabytes(await image.sizeBytes())} MB, no shell, package manager or compiler`,
  );

  const printed = await outputOf(image, { command: ['--version'] });
  expect(printed.trim() === version, `${name}: --version says ${printed.trim()}, expected ${version}`);
  const cache = writableFolder(folder, `${name}-probe`);
  const probe = JSON.parse(
    await outputOf(image, {
      entrypoint: [...config.entrypoint.slice(0, 2), NODE],
      command: ['-e', PROBE],
      volumes: { [CACHE]: cache },
    }),
  );
  const ids = Array(4).fill(USER).join(' ');
  const expected = {
    ...{ first: 'tini', uid: ids, gid: ids, capabilities: '0000000000000000', noNewPrivileges: '1' },
    ...{ root: 'EROFS', program: 'EROFS', tmp: 'yes', cache: 'yes' },
  };
  for (const [key, value] of Object.entries(expected))
    expect(probe[key] === value, `${name}: ${key} is ${probe[key]}, expected ${value}`);
  say(`${name}: process 1 is tini, user ${USER}, no capabilities, read-only but for /tmp and ${CACHE}`);
  await checkLibraries(name, image, files, say);
}

/** Every library and binding finds those that it is linked with, by the image's own loader. */
async function checkLibraries(name, image, files, say) {
  const libraries = files.filter((file) => file.startsWith('/opt/') && /\.(node|so)(\.[\d.]+)?$/.test(file));
  for (const library of libraries) {
    const text = await outputOf(image, { entrypoint: [LOADER], command: ['--list', library] });
    const [missing] = /^.*not found.*$/m.exec(text) ?? [];
    expect(missing === undefined, `${name}: ${library}: ${missing?.trim()}`);
  }
  if (libraries.length > 0) say(`${name}: ${libraries.length} libraries find all that they are linked with`);
}

/** The libraries of the GPU variant load, and a worker that finds no GPU says so. @param hasGpu this machine has one. */
export async function tryGpuImage(image, { say, hasGpu }) {
  const files = await image.listFiles();
  const libraries = files.filter((file) => /\/deps\/nvidia\/.*\.so(\.[\d.]+)?$/.test(file));
  expect(libraries.length > 0, 'worker-gpu: has no libraries of CUDA');
  // The loader takes every library in, and tells of those that it cannot.
  const { code, stdout, stderr } = await runToEnd(image, {
    entrypoint: [LOADER],
    command: ['--preload', libraries.join(' '), NODE, '-e', 'console.log("loaded")'],
  });
  const [missing] = /^.*cannot be preloaded.*$/m.exec(stderr) ?? [];
  expect(
    code === 0 && stdout.includes('loaded') && missing === undefined,
    `worker-gpu: ${missing ?? lastLine(stderr)}`,
  );
  say(`worker-gpu: ${libraries.length} libraries of CUDA load together`);
  if (hasGpu) return;
  const worker = await runToEnd(image, {
    env: { ESPALIER_METRICS_PORT: '0', ESPALIER_PORT: '0', ESPALIER_HEALTH_PORT: '0' },
  });
  expect(worker.code !== 0 && /gpu/i.test(worker.stderr), `worker-gpu: without a GPU: ${lastLine(worker.stderr)}`);
  say(`worker-gpu: without a GPU it ends with exit code ${worker.code}: ${messageOf(lastLine(worker.stderr))}`);
}

/** NATS, a coordinator and a worker prune a model. @param startNats starts a server with a configuration file and folder. */
export async function pruneExample({ images, startNats, folder, root, say }) {
  const { coordinator, worker, certificates } = images;
  const [api, health, workerPort, workerHealth, natsPort, monitor] = await freePorts(6);
  const owners = ['authority', 'nats', 'coordinator', 'worker', 'user'];
  const secrets = Object.fromEntries(owners.map((owner) => [owner, writableFolder(folder, `tls-${owner}`)]));
  const mounted = owners.map((owner) => [`/volumes/certificates/${owner}`, secrets[owner]]);
  await outputOf(certificates, { volumes: Object.fromEntries(mounted) });
  say('certificates: made for each service');

  const running = [];
  const start = (name, image, options) => {
    const process = { name, image, child: image.start(options), log: '' };
    for (const stream of [process.child.stdout, process.child.stderr])
      stream.setEncoding('utf8').on('data', (text) => {
        process.log += text;
      });
    process.exited = once(process.child, 'exit');
    running.push(process);
    return process;
  };
  const nats = startNats(natsConfiguration({ folder, root, secrets, natsPort, monitor }), folder);
  try {
    const common = {
      ...{ ESPALIER_HOST: '127.0.0.1', ESPALIER_METRICS_PORT: '0', ESPALIER_NATS: `tls://localhost:${natsPort}` },
      ...{ ESPALIER_NATS_TLS_CA: `${TLS}/ca.crt`, ESPALIER_NATS_TLS_CERTIFICATE: `${TLS}/tls.crt` },
      ...{ ESPALIER_NATS_TLS_KEY: `${TLS}/tls.key`, ...tlsOfApi() },
    };
    const serving = {
      coordinator: start('coordinator', coordinator, {
        env: {
          ...{ ...common, ESPALIER_PORT: `${api}`, ESPALIER_HEALTH_PORT: `${health}` },
          ESPALIER_WORKER_TLS_NAME: 'worker.espalier.svc',
        },
        volumes: { [TLS]: secrets.coordinator, [CACHE]: writableFolder(folder, 'coordinator') },
      }),
      worker: start('worker', worker, {
        env: { ...common, ESPALIER_PORT: `${workerPort}`, ESPALIER_HEALTH_PORT: `${workerHealth}` },
        volumes: { [TLS]: secrets.worker, [CACHE]: writableFolder(folder, 'worker') },
      }),
    };
    await untilHealthy(serving.coordinator, health);
    await untilHealthy(serving.worker, workerHealth);
    say('coordinator, worker: their health commands say ready');

    const work = exampleFolder(folder, root);
    const asUser = (...command) =>
      outputOf(coordinator, {
        command,
        env: { ESPALIER_COORDINATOR: `localhost:${api}`, ...tlsOfApi() },
        volumes: { [TLS]: secrets.user, '/work': work },
        timeoutMs: JOB_MS,
      });
    const startMs = performance.now();
    await asUser('submit', '/work/campaign.yaml', '--wait');
    const [job] = JSON.parse(await asUser('list', '--json')).jobs;
    expect(job?.state === 'done', `the example's job is ${job?.state}`);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    await asUser('fetch', job.id, '--out', '/work/result');
    const model = fs
      .readdirSync(path.join(work, 'result'), { recursive: true })
      .find((name) => path.basename(name) === 'model.safetensors');
    expect(model !== undefined, 'the fetched result has no model.safetensors');
    say(`the example's job was submitted, done after ${seconds} s, and fetched: result/${model}`);

    for (const process of [serving.worker, serving.coordinator]) await stopOrderly(process, say);
  } catch (error) {
    for (const { name, log } of running) console.error(`--- ${name}\n${log.split('\n').slice(-15).join('\n')}`);
    throw error;
  } finally {
    for (const { child, image } of running) if (child.exitCode === null) await end(child, image);
    nats.kill('SIGTERM');
    await once(nats, 'exit');
  }
}

/** SIGTERM, through process 1 of the container. */
async function stopOrderly({ name, image, child, exited }, say) {
  const startMs = performance.now();
  image.stop(child, 'SIGTERM');
  const [code] = await Promise.race([exited, pause(STOP_MS, ['no end'])]);
  expect(code === 0, `${name}: after SIGTERM ${code}, expected exit code 0`);
  say(`${name}: SIGTERM ends it with exit code 0 after ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
}

async function untilHealthy({ name, image, child, log }, port) {
  // The image's own command, but for the port: others may have it here.
  const entrypoint = image.config.health.command.map((word) => word.replace(/^127\.0\.0\.1:\d+$/, `127.0.0.1:${port}`));
  const deadlineMs = performance.now() + READY_MS;
  while (performance.now() < deadlineMs && child.exitCode === null) {
    const { code } = await runToEnd(image, { entrypoint, command: [] });
    if (code === 0) return;
    await pause(500);
  }
  throw new SetupProblem(`${name} did not become ready: ${child.exitCode === null ? 'time is over' : lastLine(log)}`);
}

/** The configuration of k8s/base with ports and folders of this test. */
function natsConfiguration({ folder, root, secrets, natsPort, monitor }) {
  const file = path.join(folder, 'nats.conf');
  const store = path.join(folder, 'nats-store');
  const text = fs
    .readFileSync(path.join(root, 'k8s', 'base', 'nats.conf'), 'utf8')
    .replace('0.0.0.0:4222', `127.0.0.1:${natsPort}`)
    .replace('0.0.0.0:8222', `127.0.0.1:${monitor}`)
    .replace('"/data"', JSON.stringify(store))
    .replaceAll(`${TLS}/`, `${secrets.nats}/`);
  writableFolder(folder, 'nats-store');
  fs.writeFileSync(file, text);
  return file;
}

/** A campaign of one job with the example's model. */
function exampleFolder(folder, root) {
  const work = writableFolder(folder, 'work');
  fs.cpSync(path.join(root, 'examples', 'mini-sst2'), path.join(work, 'mini-sst2'), { recursive: true });
  writeReviews(path.join(work, 'train.jsonl'), generateReviews({ count: 600, seed: 1 }));
  writeReviews(path.join(work, 'dev.jsonl'), generateReviews({ count: 200, seed: 2 }));
  const job = '{ name: half, model: mini-sst2, data: train.jsonl, eval: dev.jsonl, samples: 512, budgets: [0.5] }';
  fs.writeFileSync(path.join(work, 'campaign.yaml'), `name: images\njobs:\n  - ${job}\n`);
  return work;
}

function tlsOfApi() {
  return {
    ESPALIER_TLS_CA: `${TLS}/ca.crt`,
    ESPALIER_TLS_CERTIFICATE: `${TLS}/tls.crt`,
    ESPALIER_TLS_KEY: `${TLS}/tls.key`,
  };
}

/** For the images' user, who has no name on this machine. */
function writableFolder(folder, name) {
  const made = path.join(folder, name);
  fs.mkdirSync(made, { recursive: true });
  fs.chmodSync(made, 0o777);
  return made;
}

async function outputOf(image, options) {
  const { code, stdout, stderr } = await runToEnd(image, options);
  const words = (options.command ?? []).join(' ').slice(0, 80);
  expect(code === 0, `${words}: exit code ${code}: ${lastLine(stderr) || lastLine(stdout)}`);
  return stdout;
}

async function runToEnd(image, { timeoutMs = 60_000, ...options }) {
  const child = image.start(options);
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'])
    child[name].setEncoding('utf8').on('data', (text) => {
      printed[name] += text;
    });
  const timer = setTimeout(() => void end(child, image), timeoutMs);
  const [code] = await once(child, 'close');
  clearTimeout(timer);
  return { code, ...printed };
}

async function end(child, image) {
  const exited = once(child, 'exit');
  image.stop(child, 'SIGKILL');
  // Process 1 of a name space that is gone already.
  child.kill('SIGKILL');
  await exited;
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  for (const server of servers) server.close();
  return ports;
}

function expect(holds, otherwise) {
  if (!holds) throw new SetupProblem(otherwise);
}

function lastLine(text) {
  return text.trim().split('\n').at(-1) ?? '';
}

/** Of a line of a log. */
function messageOf(line) {
  try {
    const { error, message } = JSON.parse(line);
    return typeof error === 'string' ? error : (error?.message ?? message);
  } catch {
    return line;
  }
}

const megabytes = (bytes) => Math.round(bytes / 1e6);
