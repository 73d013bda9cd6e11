// One process that keeps several workers running: which it starts, that a killed one comes back, that none is left.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { projectRoot } from '../../../shared/project-root.ts';
import { visibleGpus } from '../../../shared/visible-gpus.ts';
import { parseWorkerConfig, type WorkerConfig } from '../../../worker/config.ts';
import { countWorkers, planChildren } from '../../../worker/supervisor.ts';
import { isRunning, workersOf } from '../../support/processes.ts';
import { until } from '../../support/until.ts';

function configOf(...argv: string[]): WorkerConfig {
  const command = parseWorkerConfig(argv, { HOME: '/home/user' });
  assert.equal(command.kind, 'serve');
  return (command as { config: WorkerConfig }).config;
}

test('one worker a GPU, one on a CPU, and as many as are asked for', () => {
  assert.equal(countWorkers(configOf(), []), 1);
  assert.equal(countWorkers(configOf('--workers=3'), []), 3);
  assert.equal(countWorkers(configOf(), ['0', '1', '2', '3']), 4);
  assert.equal(countWorkers(configOf('--workers=2'), ['0', '1', '2', '3']), 2);
  assert.equal(countWorkers(configOf('--device=cpu'), ['0', '1']), 1);
  assert.equal(countWorkers(configOf('--device=cpu', '--workers=3'), ['0', '1']), 3);
  assert.throws(() => countWorkers(configOf('--workers=3'), ['0', '1']), {
    code: 'usage',
    message: '--workers: got 3, expected at most one a GPU: 2',
  });
});

test('GPUs by the names that CUDA_VISIBLE_DEVICES has', () => {
  assert.deepEqual(visibleGpus({ CUDA_VISIBLE_DEVICES: '2,GPU-8f0e, 3' }), ['2', 'GPU-8f0e', '3']);
  assert.deepEqual(visibleGpus({ CUDA_VISIBLE_DEVICES: '1,-1,0' }), ['1']);
  for (const none of ['', '-1']) assert.deepEqual(visibleGpus({ CUDA_VISIBLE_DEVICES: none }), []);
});

test('each child has its GPU with its memory, or its share of the machine, its ports, and no supervisor of its own', () => {
  const argv = [
    '--port',
    '7000',
    '--metrics-port=9000',
    '--health-port=9480',
    '--workers',
    'auto',
    '--advertise=pod-1:8000',
    '--threads',
    '2',
  ];
  assert.deepEqual(planChildren(argv, configOf(...argv), 2, ['4', '5'], 8e9), [
    {
      argv: [
        ...['--threads', '2', '--workers=1', '--port=7000', '--metrics-port=9000', '--health-port=0'],
        '--advertise=pod-1:8000',
      ],
      env: { CUDA_VISIBLE_DEVICES: '4' },
    },
    {
      argv: [
        ...['--threads', '2', '--workers=1', '--port=7001', '--metrics-port=9001', '--health-port=0'],
        '--advertise=pod-1:8001',
      ],
      env: { CUDA_VISIBLE_DEVICES: '5' },
    },
  ]);
  const any = ['--port=0', '--metrics-port=0', '--memory-gb=3', '--device=cpu', '--advertise', 'pod-1'];
  for (const { argv: own, env } of planChildren(any, configOf(...any), 3, ['0'], 8e9)) {
    assert.deepEqual(own.slice(1), [
      ...['--workers=1', '--port=0', '--metrics-port=0', '--health-port=0', '--memory-gb=3.000', '--advertise=pod-1'],
    ]);
    assert.deepEqual(env, {});
  }
  const [first] = planChildren([], configOf('--device=cpu'), 2, [], 8e9);
  assert.ok(first.argv.includes('--memory-gb=4.000'));
});

async function supervised(t: test.TestContext, count: number) {
  const folder = await mkdtemp(path.join(tmpdir(), 'espalier-supervisor-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const program = path.join(projectRoot(), 'dist/worker/main.js');
  const flags = ['--port=0', '--metrics-port=0', '--device=cpu', '--blob-dir', folder];
  const child: ChildProcess = spawn(process.execPath, [program, ...flags, '--workers', String(count)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const served = (message: string) => log.split(`"message":"${message}"`).length - 1;
  await until('all workers serve', () => served('serving') === count, 60_000);
  return { child, served, log: () => log };
}

test('a killed worker is started again; SIGTERM ends all of them, with exit code 0', async (t) => {
  const { child, served, log } = await supervised(t, 2);
  const first = workersOf(child.pid!);
  assert.equal(first.length, 2);
  process.kill(first[0], 'SIGKILL');
  await until('another serves in its place', () => served('serving') === 3, 60_000);
  const second = workersOf(child.pid!);
  assert.equal(second.length, 2);
  assert.ok(second.includes(first[1]) && !second.includes(first[0]));
  assert.match(log(), /"message":"worker ended".*"reason":"ended by SIGKILL"/);
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null], log());
  assert.equal(served('draining'), 2);
  for (const pid of [...first, ...second]) assert.equal(isRunning(pid), false);
});

test('workers end with a supervisor that was killed', async (t) => {
  const { child } = await supervised(t, 2);
  const workers = workersOf(child.pid!);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await until('no worker is left', () => workers.every((pid) => !isRunning(pid)));
});
