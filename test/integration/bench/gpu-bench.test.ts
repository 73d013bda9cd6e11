// `npm run bench:gpu` on the CPU with a tiny model: every stage of the worker runs, and an earlier run is its baseline. The
// whole job, which takes longest, is left to the tests of jobs.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { RunFigures } from '../../bench/gpu/figures.ts';

const PROGRAM = fileURLToPath(new URL('../../bench/gpu.js', import.meta.url));
const TINY = ['--device', 'cpu', '--layers', '2', '--hidden', '16', '--heads', '2', '--neurons', '32'];
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-gpu-bench-'));
after(() => rmSync(folder, { recursive: true }));

const bench = (...flags: string[]) => promisify(execFile)(process.execPath, [PROGRAM, ...TINY, ...flags]);

it('measures every stage of the worker, and compares with an earlier run of the same workload alone', async () => {
  const json = path.join(folder, 'run.json');
  const stages = ['--stages', 'fisher,tune,normal-equations,solve,evaluate,gradients,refit', '--repeats', '1'];
  // The head of question answering reads every token: other shapes than the usual classifier's.
  const workload = ['--workloads', 'squad-like', '--samples', '30'];
  const { stdout } = await bench(...stages, ...workload, '--profile', '--json', json);
  const run = JSON.parse(readFileSync(json, 'utf8')) as RunFigures;
  const [{ definition, tokens, paddedTokens, setUp, peak, stages: found, profiles = [] }] = run.workloads;
  assert.equal(definition.model.head, 'QuestionAnswering');
  assert.ok(tokens >= 30 * 40 && tokens <= 30 * 384 && paddedTokens >= tokens, `${tokens} of ${paddedTokens}`);
  assert.deepEqual(
    found.map(({ name, tokens: own }) => [name, own]),
    [
      ['fisher', tokens],
      ['tune', tokens],
      ['normal-equations', tokens],
      ['solve', null],
      ['evaluate', tokens],
      ['gradients', tokens],
      ['refit', tokens],
    ],
  );
  for (const { name, firstSeconds, seconds, teraflop } of found) {
    assert.ok(firstSeconds > 0 && seconds.median > 0, name);
    assert.equal(teraflop === null, name === 'solve');
    assert.match(stdout, new RegExp(`^  ${name} +[\\d.]+`, 'm'));
  }
  assert.deepEqual(
    profiles.map(({ stage }) => stage),
    ['fisher', 'tune', 'evaluate', 'gradients', 'refit'],
  );
  for (const { stage, plainSeconds, host, profiledSeconds, calls } of profiles) {
    for (const [all, of] of [
      [profiledSeconds, calls],
      [host.taskSeconds, host.calls],
    ] as const) {
      const seconds = of.reduce((sum, call) => sum + call.seconds, 0);
      assert.ok(seconds > 0 && seconds < all, `${stage}: ${seconds} of ${all}`);
    }
    assert.ok(host.taskSeconds <= plainSeconds, stage);
    // One run is as the other, and the host's is told beside it.
    const counts = (of: typeof calls) => Object.fromEntries(of.map(({ name, calls: count }) => [name, count]));
    const { '(release)': releases, ...others } = counts(host.calls);
    assert.deepEqual(others, counts(calls), stage);
    assert.ok(releases > 0 && others.MatMul > 0 && others['(download)'] > 0, stage);
    assert.match(stdout, new RegExp(`^  ${stage} by call of the host: .* outside of calls$`, 'm'));
  }
  assert.ok(run.limits.product.teraflopPerSecond > 0 && run.limits.copy.terabytesPerSecond > 0);
  assert.ok(setUp.engineSeconds > 0 && setUp.firstCallSeconds > 0 && peak.processBytes > 1e7);
  assert.equal(peak.deviceBytes, null);

  const refused = await bench(...stages, '--workloads', 'squad-like', '--samples', '29', '--baseline', json).then(
    () => assert.fail('another workload was compared'),
    (error: { code: number; stderr: string }) => error,
  );
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /squad-like: samples: got a baseline of 30, expected 29/);
});
