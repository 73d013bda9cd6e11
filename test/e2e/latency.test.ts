// Budgets of time on the example model, with real processes and clocks: what is found, told and refused. How quick a model
// is, is asserted nowhere: this machine may do other things.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import type { PruneReport } from '../../coordinator/prune-report.ts';
import type { LatencyTable } from '../../pruning/latency-table.ts';
import { projectRoot } from '../../shared/project-root.ts';
import { exampleRun } from '../support/example-run.ts';
import { openWorkspace } from '../support/run-cli.ts';

const workspace = await openWorkspace();
const MODEL = path.join(projectRoot(), 'examples/mini-sst2');
const SHAPE = ['--batch-size', '8', '--length', '24', '--threads', '1'];

let table: LatencyTable;
before(async () => {
  const words = ['profile', MODEL, ...SHAPE, '--workers', '1', '--json', '--out', workspace.path('table.json')];
  const { code, stdout, stderr } = await workspace.run(words);
  assert.equal(code, 0, stderr);
  table = JSON.parse(stdout) as LatencyTable;
});

/** Words of a run without evaluation, with these flags in place of a budget. */
async function words(out: string, ...flags: string[]): Promise<string[]> {
  const usual = await exampleRun(workspace, out, '--samples', '64', ...flags);
  return usual.toSpliced(usual.indexOf('--eval'), 4);
}

async function pruned(out: string, ...flags: string[]): Promise<{ report: PruneReport; stderr: string }> {
  const { code, stdout, stderr } = await workspace.runOnWorkers(await words(out, ...flags));
  assert.equal(code, 0, stderr);
  return { report: (JSON.parse(stdout) as { runs: PruneReport[] }).runs[0], stderr };
}

test('a table is of this model and machine, and the file has it, too', () => {
  assert.deepEqual(JSON.parse(readFileSync(workspace.path('table.json'), 'utf8')), table);
  assert.match(table.runtime, /^onnxruntime \d/);
  assert.match(table.device, / cores$/);
  assert.deepEqual([table.threads, table.batchSize, table.tokens, table.model.layers], [1, 8, 24, 4]);
  assert.equal(table.attentionSeconds.length, table.model.heads + 1);
  assert.ok(table.attentionSeconds.at(-1)! > 0 && table.ffnSeconds.at(-1)!.seconds > 0);
});

test('--latency 0.6: the table of the earlier run, a prediction that holds, and what was measured of the result', async () => {
  const { report, stderr } = await pruned('time', '--latency', '0.6', ...SHAPE);
  const { latencyBudget: found, speed } = report;
  assert.ok(found !== undefined);
  assert.deepEqual([found.kind, found.value, found.runtime, found.tokens], ['latency', 0.6, 'onnxruntime', 24]);
  assert.equal(found.table.source, 'cached');
  assert.ok(found.rounds.length >= 1 && found.rounds.length <= 4);
  for (const { share, predicted } of found.rounds) assert.ok(predicted <= share + 1e-9 && predicted > share - 0.05);
  assert.equal(found.rounds[0].share, 0.6);
  assert.ok(found.rounds.some(({ share }) => share === found.share));
  const own = speed.find(({ runtime }) => runtime === 'onnxruntime')!;
  assert.equal(found.measuredByGoal, own.pruned.median / own.dense.median / 0.6);
  assert.equal(found.met, Math.abs(found.measuredByGoal - 1) <= 0.05);
  assert.equal(/latency-0\.6: measured \d+\.\d % (more|less) than the budget/.test(stderr), !found.met, stderr);
  for (const { dense, pruned: small } of speed)
    for (const { p10, median, p90 } of [dense, small]) assert.ok(p10 > 0 && p10 <= median && median <= p90);
  const folder = workspace.path('time', 'latency-0.6');
  const config = JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as {
    espalier: { neurons: number[] };
  };
  assert.ok(config.espalier.neurons.every((count) => count % 32 === 0));
});

test('a table of another machine is refused, or taken at its word when the model is said to be for that machine', async () => {
  await writeFile(workspace.path('phone.json'), JSON.stringify({ ...table, device: 'phone, 8 cores', threads: 8 }));
  const flags = ['--latency', '0.5', '--method', 'search', '--latency-table', workspace.path('phone.json')];
  const unsaid = await workspace.runOnWorkers(await words('unsaid', ...flags, ...SHAPE));
  assert.equal(unsaid.code, 2);
  assert.ok(
    unsaid.stderr.includes(
      `phone.json: device: got phone, 8 cores, expected ${table.device}, which measures here; give`,
    ),
    unsaid.stderr,
  );
  flags.push('--other-machine');
  const { report, stderr } = await pruned('phone', ...flags, ...SHAPE);
  assert.equal(report.latencyBudget?.table.device, 'phone, 8 cores');
  assert.equal(report.latencyBudget.machine, table.device);
  assert.equal(report.latencyBudget.met, null);
  assert.match(stderr, /latency-0\.5: by the table of phone, 8 cores; what is measured here is of /);

  const other = await workspace.runOnWorkers(await words('other', ...flags, '--batch-size', '4', '--length', '24'));
  assert.equal(other.code, 2);
  assert.match(other.stderr, /\[latency_table\] .*phone\.json: batchSize: got 8, expected 4/);
});

test('what cannot be reached is refused with the nearest that can, before the gradients', async () => {
  for (const [flags, text] of [
    [['--latency', '0.0001'], /\[budget_out_of_range\] latency-0\.0001: expected at least 0\.\d+, which the smallest/],
    [['--latency-ms', '3600000'], /latency-3600000ms: expected less than [\d.e+]+ ms, the time of the dense model/],
  ] as const) {
    const { code, stderr } = await workspace.runOnWorkers(await words('never', ...flags, ...SHAPE));
    assert.equal(code, 2, stderr);
    assert.match(stderr, text);
    assert.doesNotMatch(stderr, /^fisher/m);
  }
  const long = await workspace.runOnWorkers(await words('long', '--latency', '0.5', '--length', '513'));
  assert.equal(long.code, 2);
  assert.match(long.stderr, /\[usage\] length: got 513, expected at most 512 tokens, the model's longest input/);
});

test('without ONNX Runtime a budget of MACs goes on, and a budget of its time ends at once', async () => {
  // What Node says where the package has no library for the machine.
  const hooks = `export async function resolve(name, context, next) {
    if (name === 'onnxruntime-node') throw new Error("Cannot find module '../bin/onnxruntime_binding.node'");
    return next(name, context);
  }`;
  const inline = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
  const register = `import { register } from 'node:module'; register(${JSON.stringify(inline(hooks))});`;
  const env = { NODE_OPTIONS: `--import=${inline(register)}`, XDG_CACHE_HOME: workspace.path('other-cache') };
  const reason = String.raw`onnxruntime-node cannot be loaded: Cannot find module '\.\./bin/onnxruntime_binding\.node'`;

  const usual = await workspace.run(await words('macs', '--workers', '1', '--budget', '0.5', ...SHAPE), env);
  assert.equal(usual.code, 0, usual.stderr);
  const [{ speed }] = (JSON.parse(usual.stdout) as { runs: PruneReport[] }).runs;
  assert.deepEqual(new Set(speed.map(({ runtime }) => runtime)), new Set(['engine']));
  const notices = usual.stderr.split('\n').filter((line) => line.includes('ONNX Runtime was not measured'));
  assert.equal(notices.length, 1, usual.stderr);
  assert.match(
    notices[0],
    new RegExp(`: \\[runtime_missing\\] latency/onnxruntime/.*: on 127\\.0\\.0\\.1:\\d+: ${reason}; run`),
  );

  const timed = await workspace.run(await words('time-missing', '--workers', '1', '--latency', '0.6', ...SHAPE), env);
  assert.equal(timed.code, 6, timed.stderr);
  assert.match(timed.stderr, new RegExp(`espalier: \\[runtime_missing\\] profile/runtime: on .*: ${reason}; run`));
  assert.doesNotMatch(timed.stderr, /^fisher/m);
});
