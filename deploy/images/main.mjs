// `npm run images`: builds the images of a release and tries them, with docker or podman, or without any of the two in root
// file systems of mmdebstrap (--rootfs).

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import * as natsServer from '../../setup/nats-server.mjs';
import { SetupProblem } from '../../setup/problem.mjs';
import { runProgram } from '../../setup/program.mjs';
import { ContainerEngine, findEngine } from './container-engine.mjs';
import { inspectImage, tryGpuImage } from './inspect-image.mjs';
import { pruneExample } from './prune-example.mjs';
import { RootFileSystems } from './root-file-system.mjs';

const HELP = `Usage: npm run images -- [options]

Builds the images of the coordinator and the worker, and tries them: what is in them, who they run as, and that NATS, a
coordinator and a worker prune the example's model.

  --gpu                  the GPU variant of the worker, too (10 GB of disk while it is built)
  --engine NAME          docker or podman (default: the first that answers)
  --rootfs               without an engine: the Dockerfiles' own commands in root file systems of mmdebstrap; takes root
  --build-arg NAME=TEXT  such as NPM_CONFIG_REGISTRY, PIP_INDEX_URL; repeatable
  --ca FILE              authorities to trust while building, in PEM, where a proxy signs for the registries
`;

const OF_ENGINES = [
  'the registry of images: no base was pulled',
  'layers and their cache',
  "an engine's HEALTHCHECK timer",
];

async function main(context) {
  const options = readOptions();
  if (options === null) {
    process.stdout.write(HELP);
    return 0;
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'espalier-images-'));
  fs.chmodSync(folder, 0o755);
  try {
    const builder = makeBuilder(context, options, folder);
    const images = await buildAll(context, builder, options);
    await tryAll(context, builder, images, options, folder);
    tellWhatIsOpen(builder, options);
    return 0;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** The checked flags, or null when help was asked for. @throws SetupProblem */
function readOptions() {
  const options = {
    ...{ gpu: { type: 'boolean' }, rootfs: { type: 'boolean' }, help: { type: 'boolean' }, engine: { type: 'string' } },
    ...{ ca: { type: 'string' }, 'build-arg': { type: 'string', multiple: true } },
  };
  let values;
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    throw new SetupProblem(`${error.message}; see npm run images -- --help`);
  }
  if (values.help) return null;
  const buildArgs = {};
  for (const text of values['build-arg'] ?? []) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined) throw new SetupProblem(`--build-arg: got ${text}, expected NAME=TEXT`);
    buildArgs[name] = value;
  }
  if (values.ca !== undefined && !fs.existsSync(values.ca)) throw new SetupProblem(`--ca: no file ${values.ca}`);
  const secrets = values.ca === undefined ? {} : { ca: path.resolve(values.ca) };
  return { isGpu: values.gpu ?? false, isRootfs: values.rootfs ?? false, engine: values.engine, buildArgs, secrets };
}

function makeBuilder(context, { isRootfs, engine, secrets }, folder) {
  if (!isRootfs) {
    const found = engine ?? findEngine();
    if (found !== undefined) return new ContainerEngine(context, found, secrets);
    throw new SetupProblem('no docker or podman answers here; --rootfs does without (it takes root and mmdebstrap)');
  }
  if (process.getuid() !== 0) throw new SetupProblem('--rootfs takes root: it uses chroot and mounts');
  return new RootFileSystems(context, folder, secrets);
}

/** @returns {{ version: string, coordinator, worker, workerGpu, certificates }} images by name. */
async function buildAll(context, builder, { isGpu, buildArgs }) {
  const { version } = JSON.parse(fs.readFileSync(path.join(context.root, 'package.json'), 'utf8'));
  const git = (...args) => execFileSync('git', args, { cwd: context.root, encoding: 'utf8' }).trim();
  const about = { VERSION: version, REVISION: git('rev-parse', 'HEAD'), CREATED: git('log', '-1', '--format=%cI') };
  const build = (name, tag, args = about) =>
    builder.build({ file: `deploy/images/${name}.Dockerfile`, tag, buildArgs: { ...args, ...buildArgs } });
  return {
    version,
    coordinator: await build('coordinator', `ghcr.io/espalier/coordinator:${version}`),
    certificates: await build('certificates', `espalier-certificates:${version}`, {}),
    worker: await build('worker', `ghcr.io/espalier/worker:${version}`),
    workerGpu: isGpu
      ? await build('worker', `ghcr.io/espalier/worker:${version}-gpu`, { ...about, DEVICE: 'gpu' })
      : null,
  };
}

async function tryAll(context, builder, images, { isRootfs }, folder) {
  const say = (line) => console.log(`ok: ${line}`);
  const about = { version: images.version, say, folder };
  await inspectImage('coordinator', images.coordinator, about);
  await inspectImage('worker', images.worker, about);
  const startNats = isRootfs ? await localNats(context) : containerNats(context, builder.name);
  await pruneExample({ images, startNats, folder, root: context.root, say, signal: context.signal });
  if (images.workerGpu === null) return;
  await inspectImage('worker-gpu', images.workerGpu, about);
  await tryGpuImage(images.workerGpu, { say, folder });
}

/** This machine's nats-server, of the version that compose.yaml has. */
async function localNats(context) {
  if (!(await natsServer.isReady(context))) await natsServer.ensure(context);
  return (config) => spawn(natsServer.natsServerFile(context), ['--config', config], { stdio: 'ignore' });
}

function containerNats({ root }, engine) {
  const { services } = parse(fs.readFileSync(path.join(root, 'deploy', 'compose.yaml'), 'utf8'));
  return (config, folder) => {
    const args = ['run', '--rm', '--network', 'host', '--user', '65532:65532', '--volume', `${folder}:${folder}`];
    return spawn(engine, [...args, services.nats.image, 'nats-server', '--config', config], { stdio: 'ignore' });
  };
}

function tellWhatIsOpen({ name }, { isRootfs, isGpu }) {
  const open = [
    ...(isRootfs
      ? [...OF_ENGINES, "the image of NATS: this machine's nats-server ran", 'compose.yaml as a whole']
      : []),
    ...(isGpu ? ['the GPU variant on a GPU'] : ['the GPU variant: --gpu builds it']),
  ];
  console.log(`images: built and tried with ${name}`);
  console.log(`not shown: ${open.join('; ')}`);
}

await runProgram(main);
