// The Dockerfiles as they are, and that the checks would tell of what could go wrong with them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { LEFT_OUT, packagesOf } from '../../../deploy/images/collect-files.mjs';
import { globalArgsOf, parseDockerfile } from '../../../deploy/images/dockerfile.mjs';
import { CHECKOUT } from '../support.mjs';
import { copyProblems, dockerfileProblems, finalStage } from './dockerfile-problems.mjs';
import { parserOf, variablesOf } from './process-settings.mjs';

const read = (name) => fs.readFileSync(path.join(CHECKOUT, name), 'utf8');
const dockerfile = (name) => read(`deploy/images/${name}.Dockerfile`);
const { version } = JSON.parse(read('package.json'));

async function expectedOf(name) {
  const { config } = parserOf(name)(['--host', '127.0.0.1'], { HOME: '/home' });
  const { config: image } = await finalStage(dockerfile(name));
  const ports = [config.port, config.metricsPort, Number(image.env.ESPALIER_HEALTH_PORT)];
  return { version, ports, variables: variablesOf(name) };
}

for (const name of ['coordinator', 'worker'])
  test(`${name}: pinned bases, a user without rights, a health command, labels, nothing run in the last stage`, async () => {
    assert.deepEqual(await dockerfileProblems(dockerfile(name), await expectedOf(name)), []);
  });

const WRONG = [
  ['an unpinned base', ['FROM node:', 'FROM node:latest AS other\nFROM node:'], /^base node:latest has no version$/],
  ['a Node that will not do', ['NODE_VERSION=20.', 'NODE_VERSION=24.'], /^Node 24/],
  ['a last stage with a shell', ['FROM scratch', 'FROM debian:12.11-slim'], /starts from debian:12.11-slim/],
  ['a package manager run last', ['STOPSIGNAL', 'RUN apt-get install curl\nSTOPSIGNAL'], /runs apt-get install curl/],
  ['root', ['USER 65532:65532', 'USER 0:0'], /^user 0:0$/],
  ['a user by name', ['USER 65532:65532', 'USER nonroot'], /^user nonroot$/],
  ['no init', ['"/usr/bin/tini", "--", ', ''], /^process 1 is \/usr\/local\/bin\/node$/],
  ['another stop signal', ['SIGTERM', 'SIGINT'], /^stop signal SIGINT$/],
  ['a health command of another port', ['"127.0.0.1:94', '"127.0.0.1:84'], /^health command: /],
  ['another version', ['VERSION=0.', 'VERSION=9.'], /^label version 9/],
  [
    'a setting that nobody knows',
    ['ENV NODE_ENV', 'ENV ESPALIER_HEALTHPORT=1\nENV NODE_ENV'],
    /^ESPALIER_HEALTHPORT: /,
  ],
  ["a registry's host", ['ENV NODE_ENV', '# https://registry.example/\nENV NODE_ENV'], /^names the host /],
  [
    'a file that is not there',
    ['COPY protos protos', 'COPY protocols protos'],
    /^copies protocols, which is not there$/,
  ],
  [
    'a file that is not sent',
    ['COPY protos protos', 'COPY docs protos'],
    /^copies docs, which \.dockerignore leaves out$/,
  ],
  ['a port less', ['EXPOSE 7070 ', 'EXPOSE '], /^ports 9470,9480, expected 7070,9470,9480$/],
];

for (const [what, [from, to], problem] of WRONG)
  test(`told of: ${what}`, async () => {
    const text = dockerfile('coordinator');
    assert.ok(text.includes(from), `${from} is not in the Dockerfile any more`);
    const problems = await dockerfileProblems(text.replace(from, to), await expectedOf('coordinator'));
    assert.match(problems.join('\n'), new RegExp(problem, 'm'));
  });

test('all Dockerfiles have the same Node and user', async () => {
  const names = ['coordinator', 'worker', 'certificates'];
  const versions = names.map((name) => globalArgsOf(parseDockerfile(dockerfile(name))).NODE_VERSION);
  assert.equal(new Set(versions).size, 1, versions.join());
  const users = await Promise.all(names.map(async (name) => (await finalStage(dockerfile(name))).config.user));
  assert.deepEqual(users, ['65532:65532', '65532:65532', '65532:65532']);
});

test('the GPU variant asks for a GPU, the other one for none', async () => {
  for (const device of ['cpu', 'gpu']) {
    const { config } = await finalStage(dockerfile('worker'), { DEVICE: device });
    assert.equal(config.env.ESPALIER_DEVICE, device);
    assert.equal(config.labels['org.opencontainers.image.title'], `Espalier worker (${device})`);
  }
});

test('what is not understood is told of with its line', () => {
  assert.throws(() => parseDockerfile('FROM scratch\n\nONBUILD RUN true\n'), /^Error: Dockerfile, line 3: .*ONBUILD$/);
  assert.throws(() => parseDockerfile('RUN true\n'), /^Error: Dockerfile, line 1: .*RUN before FROM$/);
  assert.throws(() => parseDockerfile('FROM scratch\nRUN one \\'), /the file ends within an instruction$/);
});

// What a program imports, from some of its files on: its own files, and names of packages. Dynamic imports are among them.
function importsOf(...entries) {
  const packages = new Set();
  const files = new Set();
  const visit = (file) => {
    if (files.has(file)) return;
    files.add(file);
    const text = read(file);
    for (const [, name] of text.matchAll(/(?:from|import|require\(|URL\()\s*\(?\s*['"]([^'"]+)['"]/g)) {
      if (/^\.{1,2}\/.*\.m?js$/.test(name)) visit(path.join(path.dirname(file), name));
      else if (!name.startsWith('.') && !name.startsWith('node:'))
        packages.add(name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
    }
  };
  entries.forEach(visit);
  return { files: [...files], packages: [...packages].sort() };
}

test('the image that makes certificates has every file that its scripts import', () => {
  const { files } = importsOf('deploy/compose/make-certificates.mjs', 'deploy/make-certificates.mjs');
  const missing = (text) => files.filter((file) => !new RegExp(`^COPY (.* )?${file} `, 'm').test(text));
  const text = dockerfile('certificates');
  assert.deepEqual(missing(text), []);
  assert.deepEqual(missing(text.replace('deploy/new-files.mjs ', '')), ['deploy/new-files.mjs']);
  assert.deepEqual(copyProblems(parseDockerfile(text)), []);
});

test('each image has the packages that its process imports, and that of the coordinator no engine', () => {
  const lock = JSON.parse(read('package-lock.json'));
  const kept = (image) => packagesOf(lock, LEFT_OUT[image]).map((folder) => folder.replace('node_modules/', ''));
  const missing = (image, entry) => importsOf(`dist/${entry}`).packages.filter((name) => !kept(image).includes(name));
  assert.deepEqual(missing('coordinator', 'coordinator/main.js'), []);
  // Copied by install-engine.mjs.
  assert.deepEqual(missing('worker', 'worker/main.js'), ['@tensorflow/tfjs-node-gpu']);
  // The check sees engines where they are.
  assert.deepEqual(missing('coordinator', 'worker/main.js'), ['@tensorflow/tfjs-node-gpu', 'onnxruntime-node']);
});

test('a package inside of another one comes along, one of another system does not', () => {
  const packages = {
    '': { dependencies: { a: '1', left: '1' } },
    'node_modules/a': { dependencies: { b: '2' }, optionalDependencies: { windows: '1', gone: '1' } },
    'node_modules/a/node_modules/b': { dependencies: { c: '1' } },
    'node_modules/b': {},
    'node_modules/c': { dependencies: { a: '1' } },
    'node_modules/left': {},
    'node_modules/windows': { os: ['win32'] },
  };
  const found = packagesOf({ packages }, ['left']);
  assert.deepEqual(found, ['node_modules/a', 'node_modules/a/node_modules/b', 'node_modules/c']);
  delete packages['node_modules/c'];
  assert.throws(() => packagesOf({ packages }, []), /has no c for node_modules\/a\/node_modules\/b$/);
});
