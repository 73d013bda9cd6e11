// NATS, a coordinator and a worker out of their images prune the example's model, with TLS between all of them, and end when they
// are told to.

import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { generateReviews, writeReviews } from '../../examples/generate-reviews.mjs';
import { SetupProblem } from '../../setup/problem.mjs';
import { CACHE, end, expect, lastLine, outputOf, runToEnd, writableFolder } from './run-image.mjs';

const TLS = '/etc/espalier/tls';
const READY_MS = 120_000;
const JOB_MS = 300_000;
/** With what the engine does after the end: podman without systemd takes 20 s for it. */
const STOP_MS = 60_000;

/** NATS, a coordinator and a worker prune a model. @param startNats starts a server with a configuration file and folder.
 * @param signal ends them before their time, and fails the test. */
export async function pruneExample({ images, startNats, folder, root, say, signal }) {
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
  const endAll = () => Promise.all(running.map(({ child, image }) => end(child, image)));
  signal.addEventListener('abort', endAll);
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
    signal.removeEventListener('abort', endAll);
    await endAll();
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

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  for (const server of servers) server.close();
  return ports;
}
