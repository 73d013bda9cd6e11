// `npm run cluster` as a user meets it: started, given a campaign, killed in the middle of it with `kill -9`, started again, and
// the result fetched, which has the bits of a run without a cluster. Nothing outlives its launcher.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import { projectRoot } from '../../shared/project-root.ts';
import { exampleRun } from '../support/example-run.ts';
import { descendantsOf, isRunning } from '../support/processes.ts';
import { noneLeft, openWorkspace } from '../support/run-cli.ts';
import { until } from '../support/until.ts';

const START_MS = 120_000;
const JOB_MS = 240_000;
const END_MS = 60_000;

const workspace = await openWorkspace();

/** A port of which so many that follow it are free, too. */
async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

class Launched {
  readonly #child: ChildProcess;
  output = '';

  constructor(flags: readonly string[]) {
    const program = path.join(projectRoot(), 'test/support/launch-cluster.mjs');
    this.#child = spawn(process.execPath, [program, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output = (this.output + text).slice(-1_000_000);
      });
    after(() => this.#child.kill('SIGKILL'));
  }

  get processes(): number[] {
    return descendantsOf(this.#child.pid!);
  }

  async ready(): Promise<void> {
    const isOver = () => this.output.includes('cluster: ready') || this.#child.exitCode !== null;
    await until('the cluster to be ready', isOver, START_MS);
    assert.equal(this.#child.exitCode, null, this.output);
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    const [code] = await ended;
    return code;
  }
}

test('a campaign outlives the launcher that is killed, and has the bits of a local run', async () => {
  const local = workspace.run(await exampleRun(workspace, 'local', '--workers', '1', '--samples', '256'));

  const port = await freePorts(5);
  const ports = ['--port', port, '--nats-port', port + 1, '--metrics-port', port + 2].map(String);
  const flags = [...ports, '--folder', workspace.path('cluster')];
  const campaign = workspace.path('campaign.yaml');
  const model = path.join(projectRoot(), 'examples/mini-sst2');
  const [data, dev] = ['reviews.jsonl', 'reviews-dev.jsonl'].map((name) => workspace.path(name));
  writeFileSync(
    campaign,
    JSON.stringify({
      name: 'one',
      jobs: [{ name: 'half', model, data, eval: dev, budgets: [0.5], samples: 256, method: 'paper' }],
    }),
  );
  const env = { ESPALIER_COORDINATOR: `localhost:${port}` };
  const command = async (...words: string[]) => {
    const { code, stdout, stderr } = await workspace.run(words, env);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const job = async () => {
    const [only] = JSON.parse(await command('list', '--json')).jobs;
    return only as { id: string; state: string; attempt: number };
  };

  const first = new Launched(flags);
  await first.ready();
  await command('submit', campaign);
  const { id } = await job();
  const metrics = () => fetch(`http://127.0.0.1:${port + 2}/metrics`).then((response) => response.text());
  for (let text = ''; !/stage_duration_seconds_count\{stage="fisher"\} 1/.test(text); text = await metrics())
    assert.equal(first.output.includes('job left'), false, first.output);
  const processes = first.processes;
  assert.ok(processes.length >= 5, 'NATS and its watcher, a coordinator, two workers');
  assert.ok(processes.every(isRunning));
  await first.end('SIGKILL');
  await noneLeft(processes);

  const second = new Launched(flags);
  await second.ready();
  const third = new Launched(flags);
  await until('the third to be refused', () => third.output.includes('already runs a cluster on'), START_MS);
  await until('the job is left', () => second.output.includes('state=done'), JOB_MS);
  const { state, attempt } = await job();
  assert.deepEqual([state, attempt], ['done', 2]);
  const joined = (await command('logs', id)).match(/^\S+ {2}2 {2}worker 127\.0\.0\.1:\d+ joined: cpu .*$/gm);
  assert.equal(joined?.length, 2, 'the log of the second attempt names its workers');
  assert.match(await metrics(), /^espalier_tuning_hand_overs_total \d+$/m);
  const out = workspace.path('fetched');
  await command('fetch', id, '--out', out);
  assert.equal((await local).code, 0, (await local).stderr);
  const bytes = (folder: string) => readFileSync(path.join(folder, '0.5/model.safetensors'));
  assert.ok(bytes(out).equals(bytes(workspace.path('local'))), 'the bits of a local run');

  const rest = second.processes;
  assert.equal(await second.end('SIGINT'), 0);
  await noneLeft(rest, END_MS);
  assert.match(second.output, /coordinator drained[\s\S]*worker-\d +draining[\s\S]*cluster: ended/);
  assert.ok(existsSync(workspace.path('cluster', 'nats')), 'what the next start goes on with');
});
