// What processes load before they work: how fast they start is decided here. Counted, since seconds would depend on the
// machine; docs/performance.md has those.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadedBy, loadedModules } from '../../support/loaded-modules.ts';

/** Each takes as long to load as the whole command line. */
const HEAVY = [
  '@grpc/grpc-js',
  '@huggingface/tokenizers',
  '@observablehq/plot',
  '@opentelemetry/sdk-trace-base',
  'ajv',
  'linkedom',
  'nats',
  'onnxruntime-node',
  'prom-client',
  'protobufjs',
];
const heavyOf = (module: string) => loadedBy(module).packages.filter((name) => HEAVY.includes(name));
const isOfJobs = (file: string) => /^(coordinator|worker|dataset|checkpoint|pruning)\//.test(file);

describe('start-up', () => {
  for (const words of [['--version'], ['--nope'], ['prun']])
    it(`espalier ${words.join(' ')} loads nothing that does work, and no other command`, () => {
      const { files, packages } = loadedModules(['cli/espalier.mjs', ...words]);
      assert.deepEqual(packages, ['commander']);
      assert.ok(files.includes('cli/run-command-line.js'), 'what it does load is seen');
      assert.deepEqual(files.filter(isOfJobs), []);
      assert.deepEqual(
        files.filter((file) => file.startsWith('cli/commands/')),
        ['cli/commands/processes.js'],
      );
    });

  it('help of a command loads that command alone', () => {
    const { files, packages } = loadedModules(['cli/espalier.mjs', 'prune', '--help']);
    assert.deepEqual(packages, ['commander']);
    const commands = files.filter((file) => file.startsWith('cli/commands/'));
    assert.deepEqual(commands.sort(), ['cli/commands/processes.js', 'cli/commands/prune.js']);
  });

  for (const process of ['worker', 'coordinator'])
    it(`help of the ${process} loads its settings, not what it serves with`, () => {
      assert.deepEqual(loadedModules(['cli/espalier.mjs', process, '--help']).packages, ['commander']);
    });

  it('a worker of this machine loads no client of NATS and no metrics, its engine no ONNX Runtime', () => {
    assert.deepEqual(heavyOf('worker/serve-tasks.js'), ['@grpc/grpc-js']);
    assert.deepEqual(heavyOf('worker/tasks/read-request.js'), []);
    // The check sees packages where they are.
    assert.ok(heavyOf('shared/bus/open-bus.js').includes('nats'));
  });

  it('a prune job loads what it computes with, and charts when it draws them', () => {
    assert.deepEqual(heavyOf('coordinator/prune-job.js'), ['@grpc/grpc-js', '@huggingface/tokenizers']);
    assert.ok(heavyOf('coordinator/report/job-page.js').includes('linkedom'));
  });
});
