// What must hold of a built image: who it runs as, what is in it and what is not, and that every library finds its own. Works on
// any image with `start`, `listFiles`, `sizeBytes` and `config`.

import fs from 'node:fs';
import path from 'node:path';
import { CACHE, expect, lastLine, outputOf, runToEnd, writableFolder } from './run-image.mjs';

const USER = 65532;
const NODE = '/usr/local/bin/node';
const LOADER = '/lib64/ld-linux-x86-64.so.2';
const UNWANTED =
  /\/s?bin\/((ba|da|z|k|a)?sh|busybox|apt(-get)?|dpkg(-\w+)?|rpm|apk|npm|npx|yarn|corepack|pip3?|python[\d.]*|perl|gcc|g\+\+|cc|c\+\+|ld|as|make|tar|curl|wget)$|\/npm-cli\.js$/;

const PROBES = path.join(import.meta.dirname, 'probes');
const DRIVER = 'libcuda.so.1';

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
  JSON.parse(await outputOf(image, { command: [...config.command, '--print-config'] }));
  const volumes = { [CACHE]: writableFolder(folder, `${name}-probe`) };
  const probe = await runProbe('process.cjs', image, [CACHE], volumes);
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

/** Every library and binding finds those that it is linked with, by the image's own loader. The driver's comes from the host.
 * @returns {Promise<string[]>} those that load without a driver. */
async function checkLibraries(name, image, files, say) {
  const libraries = files.filter((file) => file.startsWith('/opt/') && /\.(node|so)(\.[\d.]+)?$/.test(file));
  if (libraries.length === 0) return [];
  const missing = await runProbe('libraries.cjs', image, [LOADER, ...libraries]);
  const found = libraries.filter((library) => missing[library].every((other) => other === DRIVER));
  for (const library of libraries)
    expect(found.includes(library), `${name}: ${library} does not find ${missing[library].join(', ')}`);
  say(`${name}: ${libraries.length} libraries find all that they are linked with`);
  return libraries.filter((library) => missing[library].length === 0);
}

/** What a script tells that a process of the container runs: the image's first process, and then Node. */
async function runProbe(name, image, args, volumes = {}) {
  const entrypoint = [...image.config.entrypoint.slice(0, 2), NODE];
  const text = fs.readFileSync(path.join(PROBES, name), 'utf8');
  return JSON.parse(await outputOf(image, { entrypoint, command: ['-e', text, ...args], volumes }));
}

/** The libraries of the GPU variant load, and a worker in a container that was given no GPU says so. */
export async function tryGpuImage(image, { say, folder }) {
  const loadable = await checkLibraries('worker-gpu', image, await image.listFiles(), () => {});
  const libraries = loadable.filter((file) => file.includes('/deps/nvidia/'));
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
  const worker = await runToEnd(image, {
    env: { ESPALIER_METRICS_PORT: '0', ESPALIER_PORT: '0', ESPALIER_HEALTH_PORT: '0' },
    volumes: { [CACHE]: writableFolder(folder, 'worker-gpu') },
  });
  expect(worker.code !== 0 && /gpu/i.test(worker.stderr), `worker-gpu: without a GPU: ${lastLine(worker.stderr)}`);
  say(`worker-gpu: without a GPU it ends with exit code ${worker.code}: ${messageOf(lastLine(worker.stderr))}`);
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
