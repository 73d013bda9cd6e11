// `npm run bench:gpus` on the CPU with a tiny model: a queue through a cluster and one job, each with one worker and with two.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { GpusFigures } from '../../bench/gpus/figures.ts';

const PROGRAM = fileURLToPath(new URL('../../bench/gpus.js', import.meta.url));
const TINY = ['--device', 'cpu', '--layers', '2', '--hidden', '16', '--heads', '2', '--neurons', '32'];
const folder = mkdtempSync(path.join(tmpdir(), 'espalier-gpus-bench-'));
after(() => rmSync(folder, { recursive: true }));

it('measures a queue and one job with one worker and with two, and judges them', async () => {
  const json = path.join(folder, 'gpus.json');
  const work = ['--jobs', '2', '--samples', '32', '--repeats', '1', '--check', '--json', json];
  const { code, stdout, stderr } = await new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    execFile(process.execPath, [PROGRAM, ...TINY, ...work], (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
  const { parts } = JSON.parse(readFileSync(json, 'utf8')) as GpusFigures;
  assert.deepEqual(
    parts.map(({ part, jobs, model, byWorkers }) => [part, jobs, model.head, byWorkers.map(({ workers }) => workers)]),
    [
      ['queue', 2, 'SequenceClassification', [1, 2]],
      ['one', 1, 'QuestionAnswering', [1, 2]],
    ],
  );
  const slow = parts.filter(({ part, byWorkers: [one, two] }) => {
    for (const { seconds, stages, busy, coordinatorCpuSeconds } of [one, two]) {
      assert.ok(stages.load > 0 && stages.fisher > 0 && stages.tune > 0 && coordinatorCpuSeconds > 0, part);
      assert.ok(seconds.median > 0 && busy > 0 && busy <= 1, `${part}: ${busy}`);
    }
    return one.seconds.median / two.seconds.median < (part === 'queue' ? 1.8 : 1.6);
  });
  // So small a model gains little from a second worker; what is found decides, not what is usual.
  assert.equal(code, slow.length === 0 ? 0 : 1, stderr);
  for (const { part } of slow) assert.match(stderr, new RegExp(`^too slow: ${part}: two workers are`, 'm'));
  assert.match(stdout, /^queue: 2 jobs through a cluster/m);
  assert.match(stdout, /^one: one job with local workers/m);
});
